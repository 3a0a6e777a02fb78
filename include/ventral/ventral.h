/* Ventral: neural-network models of the ventral visual stream. Everything public. */
#ifndef VENTRAL_VENTRAL_H
#define VENTRAL_VENTRAL_H

#include "ventral/evaluate.h"
#include "ventral/fit.h"
#include "ventral/graph.h"
#include "ventral/image.h"
#include "ventral/io.h"
#include "ventral/model.h"
#include "ventral/predict.h"
#include "ventral/progress.h"
#include "ventral/readout.h"
#include "ventral/report.h"
#include "ventral/rng.h"
#include "ventral/score.h"
#include "ventral/session.h"
#include "ventral/simulate.h"
#include "ventral/status.h"
#include "ventral/stimulus.h"
#include "ventral/tensor.h"
#include "ventral/train.h"
#include "ventral/weights.h"

#endif

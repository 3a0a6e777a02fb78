/* Cubic splines through points. */
#ifndef VT_PHYSIOLOGY_SPLINE_H
#define VT_PHYSIOLOGY_SPLINE_H

/* Second derivatives (count) at the points of the cubic spline through (x, y), x rising, whose
 * third derivative does not jump at the second and the last point but one ("not a knot"); this is
 * FITPACK's interpolating spline of degree 3. `work` holds `count` numbers; count >= 4. */
void vt_spline_fit(double *second, double *work, const double *x, const double *y, int count);

/* The spline at `position`; beyond the points its first and last pieces go on. */
double vt_spline_at(const double *x, const double *y, const double *second, int count,
                    double position);

#endif

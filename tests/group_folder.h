/* A folder of its own for a group of tests. */
#ifndef VT_TESTS_GROUP_FOLDER_H
#define VT_TESTS_GROUP_FOLDER_H

#include "test.h"

static char folder[4096];

static inline int make_folder(void **state)
{
    (void)state;
    new_folder(folder);
    return 0;
}

static inline int drop_folder(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

#endif

/* Writing NetCDF-4 files as xarray does, with HDF5. */
#ifndef VT_TESTS_NETCDF_H
#define VT_TESTS_NETCDF_H

#include <hdf5.h>

#include "test.h"

static inline void netcdf_put(hid_t file, const char *name, hid_t type, int ndim,
                              const hsize_t *size, const void *data)
{
    hid_t space = H5Screate_simple(ndim, size, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

/* Names the dimensions of a variable as netCDF4 does: references to vectors of their names. */
static inline void netcdf_name_axes(hid_t file, const char *variable, int ndim,
                                    const char *const *names)
{
    hobj_ref_t scales[3];
    hvl_t lists[3];
    for (int i = 0; i < ndim; i++) {
        if (H5Lexists(file, names[i], H5P_DEFAULT) <= 0)
            netcdf_put(file, names[i], H5T_NATIVE_FLOAT, 1, (hsize_t[]){1}, &(float){0});
        assert_true(H5Rcreate(&scales[i], file, names[i], H5R_OBJECT, -1) >= 0);
        lists[i] = (hvl_t){1, &scales[i]};
    }
    hid_t set = H5Dopen2(file, variable, H5P_DEFAULT), type = H5Tvlen_create(H5T_STD_REF_OBJ);
    hid_t space = H5Screate_simple(1, (hsize_t[]){(hsize_t)ndim}, NULL);
    hid_t list = H5Acreate2(set, "DIMENSION_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(list >= 0 && H5Awrite(list, type, lists) >= 0);
    H5Aclose(list);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

#endif

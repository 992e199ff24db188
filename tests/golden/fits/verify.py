"""Reads a file that kamacite wrote as strictly as astropy can, and compares: python3 verify.py FILE EXPECTED.json IMAGES.fits.gz.

EXPECTED.json lists [hdu, column or null, dtype, shape, values]; the coordinates of every image must be those of HDU 1 of IMAGES.
"""
import json
import sys
import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

warnings.simplefilter("error", fits.verify.VerifyWarning)
path, expected, images = sys.argv[1:]
reference = WCS(fits.open(images)[1].header)
with fits.open(path, checksum=True) as hdus:
    hdus.verify("exception")
    for name, column, dtype, shape, values in json.load(open(expected)):
        hdu = hdus[name]
        data = hdu.data if column is None else hdu.data[column]
        if dtype == "str":
            assert list(data) == values, (name, column, data)
            continue
        wanted = np.array([np.nan if v is None else v for v in values], dtype=dtype).reshape(shape)
        assert data.dtype.newbyteorder("=") == np.dtype(dtype), (name, column, data.dtype)
        np.testing.assert_array_equal(data, wanted, err_msg=f"{name} {column}")
        if column is None and data.ndim == 2:
            assert WCS(hdu.header).wcs.compare(reference.wcs), name
    assert hdus["A"].header["OBJECT"] == "O'Brien / 3" and hdus["A"].header["LONG"] == "a long 'string' " * 9 + "end"
    assert hdus["A"].header["TINY"] == 1.5e-300 and hdus["A"].header.comments["TINY"] == "a comment"
    assert hdus["T"].columns["f64"].unit == "Jy"
print("astropy agrees")

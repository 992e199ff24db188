"""Writes images.fits.gz, tiles.fits.gz, table.fits.gz and expected.json with astropy, and with a path to spec-1198-52669-0063.fits
also spectrum.json, checksums of its first table.

    python3 make_fits.py [SPECTRUM]

Expected values are computed here in double precision from the stored integers, or are astropy's where a codec is lossy.
"""
import gzip
import io
import json
import sys
import warnings
import zlib

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed import CompImageHDU

warnings.simplefilter("ignore")
rng = np.random.default_rng(6)
expected = {}


def plain(values):
    """Numbers for JSON; null for NaN."""
    return [None if np.isnan(v) else float(v) for v in np.asarray(values, dtype=np.float64).ravel()]


def note(name, values, bitpix):
    values = np.asarray(values)
    single = values.astype(np.float64).astype(np.float32)
    entry = {"shape": list(values.shape), "bitpix": bitpix, "crc": zlib.crc32(single.astype(">f4").tobytes())}
    if values.size <= 200:
        entry["values"] = plain(values)
    expected[name] = entry


def write(path, hdus):
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out, output_verify="exception")
    with open(path, "wb") as f:
        f.write(gzip.compress(out.getvalue(), 9, mtime=0))


def images():
    hdus = [fits.PrimaryHDU()]

    def add(name, stored, scale=1.0, zero=0.0, blank=None):
        """An image whose stored numbers and keywords are given, past astropy's own scaling."""
        hdu = fits.ImageHDU(stored, name=name)
        if (scale, zero) != (1.0, 0.0):
            hdu.header["BSCALE"], hdu.header["BZERO"] = scale, zero
        values = stored.astype(np.float64) * scale + zero
        if blank is not None:
            hdu.header["BLANK"] = blank
            values[stored == blank] = np.nan
        hdus.append(hdu)
        note(name, values, hdu.header["BITPIX"])

    draw = lambda t, shape=(5, 7): rng.integers(np.iinfo(t).min, np.iinfo(t).max, shape, dtype=t, endpoint=True)
    add("U8", draw(np.uint8))
    add("U8BLANK", np.arange(35, dtype=np.uint8).reshape(5, 7), blank=7)
    add("I8", draw(np.uint8), zero=-128)
    add("I16", draw(np.int16))
    scaled = draw(np.int16)
    scaled[1, 2] = scaled[4, 6] = -32768
    add("I16SCALED", scaled, scale=0.0125, zero=100.5, blank=-32768)
    add("U16", draw(np.int16), zero=32768)
    add("I32", draw(np.int32))
    add("U32", draw(np.int32), zero=2147483648)
    add("I64", draw(np.int64) >> 12)
    f = rng.normal(size=(5, 7)).astype(np.float32) * 1e3
    f[2, 3], f[0, 6] = np.nan, np.inf
    hdus.append(fits.ImageHDU(f, name="F32"))
    note("F32", np.where(np.isfinite(f), f, np.nan), -32)
    add("F64", rng.normal(size=(5, 7)) * 1e-7)
    add("F64SCALED", rng.normal(size=(5, 7)), scale=2.0, zero=-1.0)
    add("CUBE", draw(np.int16, (3, 4, 5)))
    add("LINE", np.linspace(0, 1, 11, dtype=np.float32))
    add("DEGENERATE", rng.normal(size=(1, 1, 4, 3)).astype(np.float32))
    add("FOUR", draw(np.uint8, (2, 2, 3, 2)))
    hdus.append(fits.ImageHDU(np.full((4, 4), np.nan, np.float32), name="NANS"))
    hdus[1].header["EXTVER"] = 1
    second = fits.ImageHDU(np.arange(6, dtype=np.uint8).reshape(2, 3), name="U8", ver=2)
    hdus.append(second)
    head = hdus[1].header
    head["OBJECT"] = ("NGC 'x' 1365 / a", "quotes and a slash")
    head["LONGSTR"] = "a long string " * 12
    head["HIERARCH ESO DET ID"] = "CCD-44"
    head["EXPTIME"] = (1.5e-3, "[s]")
    head["FLAG"] = True
    for key, value in dict(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.5, CRVAL2=-41.25, CRPIX1=4.0, CRPIX2=3.0, CD1_1=-1e-4,
                           CD1_2=2e-6, CD2_1=2e-6, CD2_2=1e-4, RADESYS="ICRS", EQUINOX=2000.0, LONPOLE=180.0).items():
        head[key] = value
    head["DATE-OBS"] = "2026-11-20T00:00:00"
    head["HISTORY"] = "made for tests"
    write("images.fits.gz", hdus)


def tiles():
    hdus = [fits.PrimaryHDU()]

    def add(name, values, compression, tile=None, **more):
        hdu = CompImageHDU(values, name=name, compression_type=compression, tile_shape=tile, **more)
        hdus.append(hdu)
        out = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
        out.seek(0)
        back = fits.open(out)[1]
        note(name, back.data, back._bintable.header["ZBITPIX"] if hasattr(back, "_bintable") else back.header["BITPIX"])

    walk = lambda t, shape=(7, 9), step=20: np.cumsum(rng.integers(-step, step, shape), axis=-1).astype(t)
    add("RICE_U8", (walk(np.int64) + 128).astype(np.uint8), "RICE_1")
    add("RICE_I16", walk(np.int16, step=2000), "RICE_1")
    add("RICE_I16_EDGES", walk(np.int16), "RICE_1", (4, 5))
    add("RICE_NOISE", rng.integers(-32768, 32768, (7, 9)).astype(np.int16), "RICE_1", (7, 9))
    add("RICE_I32", walk(np.int32, step=10**8), "RICE_1", (3, 9))
    add("RICE_U16", (walk(np.int64, step=3000) + 40000).astype(np.uint16), "RICE_1", (4, 4))
    add("RICE_FLAT", np.full((40, 50), 77, np.int16), "RICE_1", (40, 50))
    add("RICE_CUBE", walk(np.int16, (3, 7, 9)), "RICE_1", (2, 4, 5))
    add("GZIP1_I16", walk(np.int16), "GZIP_1", (4, 5))
    add("GZIP1_U8", (walk(np.int64) + 128).astype(np.uint8), "GZIP_1")
    add("GZIP2_I16", walk(np.int16), "GZIP_2", (4, 5))
    add("GZIP2_I32", walk(np.int32, step=10**8), "GZIP_2", (7, 4))
    f = (rng.normal(size=(7, 9)) + 10).astype(np.float32)
    f[3, 3] = np.nan
    add("GZIP1_F32", f, "GZIP_1", (4, 5), quantize_level=0.0)
    add("GZIP2_F32", f, "GZIP_2", (4, 5), quantize_level=0.0)
    add("GZIP2_F64", rng.normal(size=(7, 9)), "GZIP_2", (4, 5), quantize_level=0.0)
    g = (rng.normal(size=(24, 30)) + 10).astype(np.float32)
    g[3, 3] = np.nan
    g[5, 4:9] = 0.0
    for method, name in [(-1, "NODITHER"), (1, "DITHER1"), (2, "DITHER2")]:
        add("RICE_F32_" + name, g, "RICE_1", (10, 30), quantize_level=8.0, quantize_method=method, dither_seed=7)
        add("GZIP_F32_" + name, g, "GZIP_1", (10, 30), quantize_level=8.0, quantize_method=method, dither_seed=9998)
    add("RICE_F64_DITHER1", g.astype(np.float64), "RICE_1", (10, 30), quantize_level=8.0, quantize_method=1, dither_seed=7)
    # More pixels in a tile than there are random numbers.
    add("RICE_F32_LONG", rng.normal(size=(105, 110)).astype(np.float32), "RICE_1", (105, 110), quantize_level=1.0, quantize_method=1,
        dither_seed=12)
    add("HCOMPRESS", walk(np.int16, (8, 9)), "HCOMPRESS_1", (8, 9))
    add("PLIO", np.abs(walk(np.int16)), "PLIO_1")
    write("tiles.fits.gz", hdus)


def table():
    n = 5
    v = np.empty(n, object)
    for i in range(n):
        v[i] = np.arange(i, dtype=np.float32) / 2
    columns = {
        "logical": ("L", np.array([True, False, True, True, False])),
        "bits": ("11X", rng.integers(0, 2, (n, 11)).astype(bool)),
        "byte": ("B", rng.integers(0, 256, n).astype(np.uint8)),
        "short": ("I", rng.integers(-32768, 32767, n).astype(np.int16)),
        "int": ("J", rng.integers(-2**31, 2**31 - 1, n).astype(np.int32)),
        "long": ("K", rng.integers(-2**50, 2**50, n)),
        "float": ("E", rng.normal(size=n).astype(np.float32)),
        "double": ("D", rng.normal(size=n)),
        "complex": ("C", (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)),
        "text": ("8A", np.array(["Vega", "Deneb", "", "Altair 7", " x"])),
        "vector": ("3E", rng.normal(size=(n, 3)).astype(np.float32)),
        "variable": ("PE()", v),
    }
    cols = [fits.Column(name=k, format=f, array=a, unit="mJy" if k == "float" else None) for k, (f, a) in columns.items()]
    cols.append(fits.Column(name="matrix", format="6J", dim="(3,2)", array=np.arange(6 * n, dtype=np.int32).reshape(n, 2, 3)))
    cols.append(fits.Column(name="unsigned", format="I", bzero=32768, array=np.array([0, 1, 32768, 40000, 65535], np.uint16)))
    hdu = fits.BinTableHDU.from_columns(cols, name="MIXED")
    raw = np.array([(10, 7), (20, -1), (30, 9), (-99, 3), (50, -1)], dtype=[("scaled", ">i2"), ("nulls", ">i4")])
    second = fits.BinTableHDU(raw, name="SCALED")
    second.header["TSCAL1"], second.header["TZERO1"], second.header["TNULL1"], second.header["TNULL2"] = 0.5, 3.0, -99, -1
    for name, (f, a) in columns.items():
        if name in ("text", "variable", "bits"):
            continue
        a = np.stack([a.real, a.imag], -1) if name == "complex" else a
        expected["table." + name] = {"shape": list(a.shape), "values": plain(a)}
    bits = np.packbits(columns["bits"][1], axis=1)
    expected["table.bits"] = {"shape": list(bits.shape), "values": plain(bits)}
    expected["table.matrix"] = {"shape": [n, 2, 3], "values": plain(np.arange(6 * n))}
    expected["table.unsigned"] = {"shape": [n], "values": [0.0, 1.0, 32768.0, 40000.0, 65535.0]}
    expected["table.scaled"] = {"shape": [n], "values": [8.0, 13.0, 18.0, None, 28.0]}
    expected["table.nulls"] = {"shape": [n], "values": [7.0, None, 9.0, 3.0, None]}
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    tail = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), second]).writeto(tail)
    with open("table.fits.gz", "wb") as f:
        f.write(gzip.compress(out.getvalue() + tail.getvalue()[2880:], 9, mtime=0))


def spectrum(path):
    data = fits.open(path)[1].data
    crc = {name: zlib.crc32(np.ascontiguousarray(data[name]).astype(data[name].dtype.newbyteorder(">")).tobytes()) for name in data.names}
    with open("spectrum.json", "w") as f:
        json.dump({"rows": len(data), "crc": crc}, f, indent=1)


images()
tiles()
table()
with open("expected.json", "w") as f:
    json.dump(expected, f, separators=(",", ":"))
    f.write("\n")
if len(sys.argv) > 1:
    spectrum(sys.argv[1])

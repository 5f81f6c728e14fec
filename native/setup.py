"""Builds the kernels: a plain C library, opened by ctypes, so that one wheel serves every Python."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "sovits_native._gpt_step",
            ["c/gpt_step.c"],
            depends=["c/gpt_step.h", "c/kernels.h"],
            # Neither changes a result: nobody reads errno or the floating-point flags.
            extra_compile_args=[
                "-std=c11",
                "-O3",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fvisibility=hidden",
            ],
            extra_link_args=["-pthread"],
            libraries=["m"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

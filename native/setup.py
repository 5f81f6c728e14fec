"""Builds the kernels: a plain C library, opened by ctypes, so that one wheel serves every Python."""

from pathlib import Path

from setuptools import Extension, setup

HERE = Path(__file__).parent


def files(suffix: str) -> list[str]:
    """Files of `c/`, relative to this folder; those of another processor compile to nothing."""
    return sorted(f"c/{path.name}" for path in (HERE / "c").glob(f"*{suffix}"))


setup(
    ext_modules=[
        Extension(
            "sovits_native._gpt_step",
            files(".c"),
            depends=files(".h"),
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

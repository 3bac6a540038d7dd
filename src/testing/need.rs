//! The requirements, and what happens if one is missing.

use std::fmt;

use crate::skipped;

/// Something that a test requires and not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Python with the packages of `.ci/run`, named by `LANDMARK_SWEEP_PYTHON`.
    Python,
    /// A Python with PyTorch, named by `LANDMARK_SWEEP_PYTHON`.
    Torch,
    /// A C++ compiler, which builds the GPU kernels for the CPU.
    CxxCompiler,
    /// A compiler and a disassembler for CUDA (`scripts/build-cuda toolkit`), and `python3`.
    CudaCompiler,
    /// A processor with AVX2 and FMA.
    Avx2,
    /// A processor with AVX-512.
    Avx512,
    /// A processor with a matrix unit (AMX).
    Amx,
    /// A processor with products of bf16 in 512-bit vectors.
    Avx512Bf16,
    /// A system on which users may mount file systems in their own name space.
    Unshare,
    /// Data sets that are not part of the repository.
    SharedData,
    /// An installed Slurm (`scripts/slurm-testbed install`).
    Slurm,
    /// An NVIDIA GPU.
    Gpu,
    /// The browser Chromium.
    Chromium,
}

impl Need {
    /// The environment variable whose value `required` makes a missing requirement an error.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Python => "SWEEP_NEED_PYTHON",
            Self::Torch => "SWEEP_NEED_TORCH",
            Self::CxxCompiler => "SWEEP_NEED_CXX",
            Self::CudaCompiler => "SWEEP_NEED_NVCC",
            Self::Avx2 => "SWEEP_NEED_AVX2",
            Self::Avx512 => "SWEEP_NEED_AVX512",
            Self::Amx => "SWEEP_NEED_AMX",
            Self::Avx512Bf16 => "SWEEP_NEED_AVX512_BF16",
            Self::Unshare => "SWEEP_NEED_UNSHARE",
            Self::SharedData => "SWEEP_NEED_DATA",
            Self::Slurm => "SWEEP_SLURM",
            Self::Gpu => "SWEEP_NEED_GPU",
            Self::Chromium => "SWEEP_NEED_CHROMIUM",
        }
    }

    /// The value, or `None` after a record of the skip if it is an error: the reason why the requirement is missing.
    ///
    /// # Panics
    ///
    /// If the requirement is missing and [required](Self::variable), with the reason.
    #[track_caller]
    pub fn met<T>(self, found: Result<T, String>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(reason) => {
                self.missing(&reason);
                None
            }
        }
    }

    /// Records that a test, or a part of it, is skipped because the requirement is missing.
    ///
    /// # Panics
    ///
    /// If the requirement is [required](Self::variable), with the reason.
    #[track_caller]
    pub fn missing(self, reason: &str) {
        assert!(!self.is_required(), "{self} is required by {}=required: {reason}", self.variable());
        skipped::record(&self.to_string(), reason);
    }

    #[expect(clippy::disallowed_methods, reason = "switches of tests are variables")]
    fn is_required(self) -> bool {
        std::env::var_os(self.variable()).is_some_and(|value| value == "required")
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "Python packages",
            Self::Torch => "PyTorch",
            Self::CxxCompiler => "C++ compiler",
            Self::CudaCompiler => "CUDA compiler",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Amx => "AMX",
            Self::Avx512Bf16 => "AVX-512-BF16",
            Self::Unshare => "unshare",
            Self::SharedData => "shared data",
            Self::Slurm => "Slurm",
            Self::Gpu => "GPU",
            Self::Chromium => "Chromium",
        })
    }
}

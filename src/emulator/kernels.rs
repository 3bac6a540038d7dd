//! Runs the kernels on the processor: compiled by its C++ compiler, thread by thread (`kernels/emulate.cuh`).
#![expect(clippy::disallowed_methods, reason = "compiles the kernels on the machine that runs tests")]
#![expect(unsafe_code, reason = "kernels work on addresses")]

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{Device, Storage};

use sweep_core::error::{Error, Kind, Result};
use sweep_graph::gpu::{Address, Gpu, Launch, Memory, MemoryInfo, Sequence};
use sweep_graph::tensors::change;
use sweep_testing::Need;

use crate::layout::{Field, Layout};

/// Runs kernels on the processor, in its own memory.
#[derive(Clone, Copy)]
pub struct Emulator {
    kernels: &'static Kernels,
    /// Whether a block's threads take turns from the last to the first.
    falling: bool,
    /// Bytes of the largest allocation.
    capacity: usize,
}

struct Kernels {
    launch: extern "C" fn(*const c_char, *const c_void, *const [u32; 3], u32, usize, c_int) -> c_int,
    size: extern "C" fn(*const c_char) -> usize,
    field: extern "C" fn(*const c_char, usize, *mut usize, *mut usize) -> *const c_char,
}

impl Emulator {
    /// The emulator, or `None`, after a record of the skip, if there is no C++ compiler for it.
    ///
    /// # Panics
    ///
    /// If a C++ compiler is missing and [required](Need::variable).
    #[track_caller]
    pub fn new(falling: bool) -> Option<Self> {
        static KERNELS: OnceLock<std::result::Result<Kernels, String>> = OnceLock::new();
        match KERNELS.get_or_init(compile) {
            Ok(kernels) => Some(Self { kernels, falling, capacity: 1 << 40 }),
            Err(why) => {
                Need::CxxCompiler.missing(why);
                None
            }
        }
    }

    /// Same as [`Emulator::new`], as a GPU.
    #[track_caller]
    pub fn gpu(falling: bool) -> Option<Arc<dyn Gpu>> {
        Self::new(falling).map(|emulator| Arc::new(emulator) as Arc<dyn Gpu>)
    }

    /// The same emulator with this limit on the bytes of an allocation.
    #[must_use]
    pub fn with_capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// Layout of a structure of the kernels, by its name or by the name of a kernel that takes it; `None` if there is no
    /// such structure.
    pub fn layout(self, name: &str) -> Option<Layout> {
        let name = CString::new(name).unwrap();
        let size = (self.kernels.size)(name.as_ptr());
        let field = |index| {
            let (mut offset, mut size) = (0, 0);
            let field = (self.kernels.field)(name.as_ptr(), index, &raw mut offset, &raw mut size);
            // SAFETY: the library's names are literals that end with a zero.
            let name = (!field.is_null()).then(|| unsafe { CStr::from_ptr(field) })?;
            Some(Field { name: name.to_str().unwrap().to_owned(), offset, size })
        };
        (size > 0).then(|| Layout { size, fields: (0..).map_while(field).collect() })
    }
}

/// Compiles the kernels. A missing compiler is a reason to skip; kernels that do not compile are not.
fn compile() -> std::result::Result<Kernels, String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("kernels are emulated on x86-64 only".to_owned());
    }
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("kernels.so");
    // The package's folder at run time may differ from that at build time: look in the folder of any crate beside this
    // one.
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let source = Path::new(&package).join("../graph/gpu/kernels/all.cu");
    let output = Command::new(&compiler)
        .args(["-std=c++17", "-x", "c++", "-DEMULATE", "-O2", "-march=native", "-shared", "-fPIC"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-variable"])
        .arg(source)
        .arg("-o")
        .arg(&library)
        .output();
    let output = output.map_err(|e| format!("no C++ compiler `{compiler}` for the GPU's kernels: {e}"))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: the library is our own, its functions have these signatures, and it is never closed.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null(), "the emulator cannot be loaded");
        let symbol = |name: &CStr| {
            let symbol = libc::dlsym(handle, name.as_ptr());
            assert!(!symbol.is_null());
            symbol
        };
        Ok(Kernels {
            launch: std::mem::transmute::<
                *mut c_void,
                extern "C" fn(*const c_char, *const c_void, *const [u32; 3], u32, usize, c_int) -> c_int,
            >(symbol(c"emulator_launch")),
            size: std::mem::transmute::<*mut c_void, extern "C" fn(*const c_char) -> usize>(symbol(c"emulator_size")),
            field: std::mem::transmute::<
                *mut c_void,
                extern "C" fn(*const c_char, usize, *mut usize, *mut usize) -> *const c_char,
            >(symbol(c"emulator_field")),
        })
    }
}

/// 256 aligned bytes.
#[derive(Clone, Copy)]
#[repr(C, align(256))]
struct AlignedBlock([u8; 256]);

struct EmulatedMemory(UnsafeCell<Vec<AlignedBlock>>);

impl std::fmt::Debug for EmulatedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmulatedMemory")
    }
}

impl Memory for EmulatedMemory {
    fn address(&self) -> Address {
        // SAFETY: only the address is taken.
        unsafe { (*self.0.get()).as_mut_ptr() as Address }
    }
}

struct Repeat(Emulator, Vec<Launch>);

impl Sequence for Repeat {
    fn run(&mut self) -> Result<()> {
        self.1.iter().try_for_each(|launch| self.0.launch(launch))
    }
}

impl Gpu for Emulator {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>> {
        if bytes > self.capacity {
            return Err(Error::new(Kind::Computation, "the GPU has not enough memory"));
        }
        Ok(Box::new(EmulatedMemory(UnsafeCell::new(vec![AlignedBlock([0; 256]); bytes.div_ceil(256)]))))
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<()> {
        // SAFETY: the caller has allocated as many bytes there.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: same as the block before.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        // SAFETY: same as the block before.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        launch.check()?;
        let name = CString::new(launch.kernel).unwrap();
        let (shared, falling) = (launch.shared as usize, c_int::from(self.falling));
        let parameters = launch.parameters().cast();
        let code =
            (self.kernels.launch)(name.as_ptr(), parameters, &raw const launch.grid, launch.threads, shared, falling);
        match code {
            0 => Ok(()),
            1 => Err(Error::input(format!("there is no kernel `{}`", launch.kernel))),
            _ => Err(Error::input(format!("`{}` does not support {} threads", launch.kernel, launch.threads))),
        }
    }

    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence> {
        Box::new(Repeat(*self, launches))
    }

    fn address(&self, tensor: &candle_core::Tensor) -> Result<Address> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { panic!("the emulator's tensors are the processor's") };
        assert!(layout.is_contiguous());
        Ok(storage.as_slice::<f32>().computed()?[layout.start_offset()..].as_ptr() as Address)
    }

    fn tensor(&self, shape: &[usize]) -> Result<candle_core::Tensor> {
        let tensor = candle_core::Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).computed()?;
        change(&tensor, |numbers: &mut [f32]| {
            numbers.fill(f32::NAN);
            Ok(())
        })
        .computed()?;
        Ok(tensor)
    }

    fn memory_info(&self) -> Result<MemoryInfo> {
        Ok(MemoryInfo { free: self.capacity, total: self.capacity, peak: 0 })
    }
}

//! CUDA devices: the driver behind [`Gpu`].
//!
//! Libraries are opened together with the device, so that one program serves machines with and without them.
#![expect(clippy::disallowed_methods, reason = "looks for CUDA's libraries where the environment says they are")]

mod recorded;

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use candle_core::cuda_backend::cudarc::driver::sys::{self, CUfunction_attribute_enum, CUmemPool_attribute_enum};
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule, CudaStream, DevicePtr, result};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{DType, Device, Storage, Tensor};

use super::devices::DeviceInfo;
use super::quiet::quietly;
use super::{Address, Gpu, Launch, Memory, MemoryInfo, Sequence};
use crate::tensors::TensorOperation as _;
use recorded::Recorded;
use sweep_core::error::{Error, Kind, Result};

/// The kernels, compiled for compute capabilities 8.0, 8.6, 8.9 and 9.0; the driver compiles them once for newer GPUs.
const KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// Libraries that candle opens; the driver comes first.
const LIBRARIES: [(&str, &[&str]); 4] = [
    ("cuda", &["libcuda.so.1", "libcuda.so"]),
    ("cublasLt", &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]),
    ("cublas", &["libcublas.so.13", "libcublas.so.12", "libcublas.so"]),
    ("curand", &["libcurand.so.10", "libcurand.so"]),
];

/// Shared memory of a block that needs no special attribute.
const SHARED: u32 = 48 << 10;

/// The GPUs of this machine.
///
/// # Errors
/// Says which library or driver is missing.
pub fn list() -> Result<Vec<DeviceInfo>> {
    open_libraries(&LIBRARIES[..1])?;
    let failed = |e| Error::new(Kind::Device, format!("the CUDA driver does not answer: {e}")).remedy(DRIVER);
    guarded(|| {
        result::init().map_err(failed)?;
        let count = result::device::get_count().map_err(failed)?;
        (0..count)
            .map(|ordinal| {
                let device = result::device::get(ordinal).map_err(failed)?;
                let attribute = |attribute| {
                    // SAFETY: a device that was just found.
                    unsafe { result::device::get_attribute(device, attribute) }.map_err(failed)
                };
                Ok(DeviceInfo {
                    name: result::device::get_name(device).map_err(failed)?,
                    capability: (
                        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
                    ),
                    // SAFETY: a device that was just found.
                    memory: unsafe { result::device::total_mem(device) }.map_err(failed)?,
                })
            })
            .collect()
    })
}

const DRIVER: &str = "see that `nvidia-smi` works, or use --device cpu";

/// Checks that a GPU can be opened, without opening it: that would take some of its memory.
///
/// # Errors
/// Says what is missing: library, driver, GPU, or its generation.
pub fn check(ordinal: usize) -> Result<DeviceInfo> {
    let found = list()?;
    let Some(info) = found.get(ordinal) else {
        let count_text = match found.len() {
            0 => "this machine has none".to_owned(),
            count => format!("this machine has {count}, counted from 0"),
        };
        return Err(Error::new(Kind::Device, format!("there is no GPU {ordinal}: {count_text}"))
            .remedy("use a number that `sweep devices` shows, or --device cpu"));
    };
    if info.capability < (8, 0) {
        let (major, minor) = info.capability;
        return Err(Error::new(
            Kind::Device,
            format!("{} has compute capability {major}.{minor}; the kernels need 8.0 or newer", info.name),
        )
        .remedy("use a GPU from Ampere on, or --device cpu"));
    }
    open_libraries(&LIBRARIES[1..])?;
    Ok(info.clone())
}

/// Opens a GPU for candle and for [`of`].
///
/// # Errors
/// Same errors as [`check`].
pub fn open(ordinal: usize) -> Result<Device> {
    check(ordinal)?;
    let device = guarded(|| Device::new_cuda_with_stream(ordinal).computed())?;
    if let Device::Cuda(device) = &device {
        // SAFETY: all work is on the device's one stream, in order.
        unsafe { device.disable_event_tracking() };
    }
    Ok(device)
}

/// Calls a function that panics if a library lacks a symbol, and returns the panic as an error.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    quietly(f).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(Error::new(Kind::Device, format!("CUDA cannot be used: {}", message.lines().next().unwrap_or_default()))
            .remedy(DRIVER))
    })
}

/// Opens libraries by name, or else in the folders of a CUDA toolkit; opening them by name later then finds the same
/// files.
fn open_libraries(libraries: &[(&str, &[&str])]) -> Result<()> {
    for (library, names) in libraries {
        let folders = folders();
        let opened = names.iter().any(|name| {
            let paths = folders.iter().map(|folder| folder.join(name)).filter(|path| path.is_file());
            std::iter::once(PathBuf::from(name)).chain(paths).any(|path| {
                let Ok(path) = CString::new(path.to_string_lossy().as_bytes()) else { return false };
                // SAFETY: CUDA's libraries may be opened at any time; they stay open.
                !unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null()
            })
        });
        if !opened {
            let what = if *library == "cuda" { "no NVIDIA driver" } else { "a library of CUDA is missing" };
            let remedy = if *library == "cuda" {
                "install the driver, or use --device cpu"
            } else {
                "install CUDA's libraries and name their folder in LD_LIBRARY_PATH, or use --device cpu"
            };
            let looked = names[0];
            return Err(Error::new(Kind::Device, format!("{what}: {looked} was not found")).remedy(remedy));
        }
    }
    Ok(())
}

/// Folders where toolkits put their libraries.
fn folders() -> Vec<PathBuf> {
    let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(|name| std::env::var_os(name).map(PathBuf::from));
    let roots = named.chain([PathBuf::from("/usr/local/cuda")]);
    roots.flat_map(|root| [root.join("lib64"), root.join("lib")]).collect()
}

/// What is known of an opened device: its runtime while someone uses it, and its bytes in use, now and at the peak.
struct Opened {
    device: DeviceId,
    runtime: Weak<dyn Gpu>,
    allocated: Arc<[AtomicUsize; 2]>,
}

/// The GPU behind a candle device. It is closed with its last user; of a device that is opened again, the peak remains.
///
/// # Errors
/// When the device is not a GPU, or its driver does not accept the kernels.
pub fn of(device: &Device) -> Result<Arc<dyn Gpu>> {
    static OPENED: Mutex<Vec<Opened>> = Mutex::new(Vec::new());
    let Device::Cuda(device) = device else { return Err(Error::new(Kind::Device, "this device is not a GPU")) };
    let mut opened = locked(&OPENED);
    let known = opened.iter().position(|known| known.device == device.id());
    if let Some(gpu) = known.and_then(|known| opened[known].runtime.upgrade()) {
        return Ok(gpu);
    }
    let allocated = known.map(|known| opened.swap_remove(known).allocated).unwrap_or_default();
    let gpu: Arc<dyn Gpu> = Arc::new(Arc::new(Cuda::new(device, Arc::clone(&allocated))?));
    opened.push(Opened { device: device.id(), runtime: Arc::downgrade(&gpu), allocated });
    Ok(gpu)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device with the kernels on it.
struct Cuda {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: Mutex<BTreeMap<&'static str, Function>>,
    /// Bytes of all [`Block`]s, now and at the peak.
    allocated: Arc<[AtomicUsize; 2]>,
}

/// A kernel, and the most shared memory that its blocks may have.
#[derive(Clone)]
struct Function {
    function: CudaFunction,
    shared: u32,
}

impl Cuda {
    fn new(device: &CudaDevice, allocated: Arc<[AtomicUsize; 2]>) -> Result<Self> {
        let stream = device.cuda_stream();
        let module = stream.context().load_module(Ptx::from_binary(KERNELS.to_vec())).map_err(|e| {
            Error::new(Kind::Device, format!("the driver does not take the kernels: {e}"))
                .remedy("update the NVIDIA driver to one for CUDA 13, or use --device cpu")
        })?;
        Ok(Self { device: device.clone(), stream, module, functions: Mutex::default(), allocated })
    }

    fn function(&self, launch: &Launch) -> Result<CudaFunction> {
        let mut functions = locked(&self.functions);
        if let Some(known) = functions.get(launch.kernel)
            && known.shared >= launch.shared
        {
            return Ok(known.function.clone());
        }
        let function = self.module.load_function(launch.kernel).map_err(|e| failed(launch.kernel, e))?;
        if launch.shared > SHARED {
            let most = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, launch.shared as i32).map_err(|e| {
                let remedy = "use smaller kernels (model.head.kernel), or --device cpu";
                let what =
                    format!("{} of a block that needs {} KiB of shared memory", launch.kernel, launch.shared >> 10);
                failed(&what, e).remedy(remedy)
            })?;
        }
        let shared = launch.shared.max(SHARED);
        functions.insert(launch.kernel, Function { function: function.clone(), shared });
        Ok(function)
    }

    fn launch_on(&self, stream: &CudaStream, launch: &Launch) -> Result<()> {
        launch.check()?;
        let function = self.function(launch)?;
        let [x, y, z] = launch.grid;
        let parameters: *mut c_void = launch.parameters().cast_mut().cast();
        // SAFETY: parameters are of the kernel's layout, by `Parameters`; the driver copies them before it returns.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared,
                stream.cu_stream(),
                &mut [parameters],
            )
        }
        .map_err(|e| failed(launch.kernel, e))
    }

    fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(|e| failed("the GPU", e))
    }
}

fn failed(what: &str, error: result::DriverError) -> Error {
    Error::new(Kind::Device, format!("{what}: {error}"))
}

/// Memory of a device.
struct Block {
    address: Address,
    bytes: usize,
    stream: Arc<CudaStream>,
    allocated: Arc<[AtomicUsize; 2]>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

impl Memory for Block {
    fn address(&self) -> Address {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.allocated[0].fetch_sub(self.bytes, Ordering::Relaxed);
        // A failure here follows an earlier one that was reported.
        let _ = self.stream.context().bind_to_thread();
        // SAFETY: allocated by `allocate`, and dropped once; the driver waits for its last users.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

impl Gpu for Arc<Cuda> {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>> {
        self.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the memory is freed by `Block`, once.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(|e| {
            if e.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                let mib = |bytes: usize| bytes >> 20;
                let free = self.memory_info().map(|memory| memory.free).unwrap_or_default();
                Error::new(
                    Kind::Computation,
                    format!("the GPU has not enough memory for {} MiB: {} MiB are free", mib(bytes), mib(free)),
                )
                .remedy("use a smaller batch_size or input, or precision bf16")
            } else {
                failed("memory", e)
            }
        })?;
        let now = self.allocated[0].fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.allocated[1].fetch_max(now, Ordering::Relaxed);
        let (stream, allocated) = (Arc::clone(&self.stream), Arc::clone(&self.allocated));
        let block = Block { address, bytes, stream, allocated };
        // SAFETY: just allocated.
        unsafe { result::memset_d8_async(address, 0, bytes, self.stream.cu_stream()) }
            .map_err(|e| failed("memory", e))?;
        Ok(Box::new(block))
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller has as many bytes there; the driver has read pageable memory when it returns.
        unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }.map_err(|e| failed("copying", e))
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller has as many bytes there; the copy is finished when the stream is synchronised.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }
            .and_then(|()| {
                // SAFETY: the stream is this device's own.
                unsafe { result::stream::synchronize(self.stream.cu_stream()) }
            })
            .map_err(|e| failed("copying", e))
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller has as many bytes at both places.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.map_err(|e| failed("copying", e))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.bind()?;
        self.launch_on(&self.stream, launch)
    }

    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence> {
        Box::new(Recorded::new(self, launches))
    }

    fn address(&self, tensor: &Tensor) -> Result<Address> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            return Err(Error::new(Kind::Device, "a tensor is not on the GPU"));
        };
        if !layout.is_contiguous() {
            return Err(Error::input("a tensor is not contiguous"));
        }
        let (start, _) = storage.as_cuda_slice::<f32>().computed()?.device_ptr(&self.stream);
        Ok(start + 4 * layout.start_offset() as Address)
    }

    fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        // SAFETY: the caller writes every number before reading it.
        unsafe { Tensor::empty(shape, DType::F32, &Device::Cuda(self.device.clone())) }.computed()
    }

    fn memory_info(&self) -> Result<MemoryInfo> {
        self.bind()?;
        let (free, total) = result::mem_get_info().map_err(|e| failed("memory", e))?;
        let mut pooled = 0u64;
        // SAFETY: the pool is the device's own; its high-water mark has eight bytes.
        unsafe {
            let pool = result::device::get_default_mem_pool(self.stream.context().cu_device());
            if let Ok(pool) = pool {
                let _ = sys::cuMemPoolGetAttribute(
                    pool,
                    CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                    (&raw mut pooled).cast(),
                );
            }
        }
        Ok(MemoryInfo { free, total, peak: self.allocated[1].load(Ordering::Relaxed) + pooled as usize })
    }
}

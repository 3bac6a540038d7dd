//! GPU runtime: memory by address, and kernels by name.
//!
//! The kernels are in `kernels/`, CUDA C++ that is compiled with the package. [`Gpu`] is implemented by a CUDA device
//! and, in tests, by an emulator that runs the same sources on the processor: tests without a GPU cover everything but
//! the driver.
#![expect(unsafe_code, reason = "kernels work on addresses")]

#[cfg(feature = "cuda")]
mod cuda;
pub mod devices;
mod quiet;

use std::fmt::Debug;

use candle_core::Tensor;
use sweep_core::error::{Error, Kind, Result};

pub use devices::of;

/// An address in a GPU's memory.
pub type Address = u64;

/// Parameters of a kernel, in the layout of its CUDA source.
///
/// # Safety
/// A `repr(C)` structure of plain numbers, of the layout of the kernel's.
pub unsafe trait Parameters: Copy {}

/// Most blocks along x, y and z that a GPU starts at once.
const MOST_BLOCKS: [u32; 3] = [0x7fff_ffff, 0xffff, 0xffff];

/// A kernel's name, its grid and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory of a block.
    pub shared: u32,
    /// The parameters' bytes, aligned as they need.
    parameters: Vec<u64>,
}

impl Launch {
    /// A launch of blocks that use no shared memory.
    pub fn new<P: Parameters>(kernel: &'static str, grid: [usize; 3], threads: u32, parameters: &P) -> Self {
        let mut bytes = vec![0u64; size_of::<P>().div_ceil(8)];
        // SAFETY: the vector holds as many bytes, and is aligned to eight.
        unsafe { std::ptr::copy_nonoverlapping(parameters, bytes.as_mut_ptr().cast::<P>(), 1) };
        let grid = grid.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Self { kernel, grid, threads, shared: 0, parameters: bytes }
    }

    /// A launch of one thread for each of `count` elements.
    pub fn per_element<P: Parameters>(kernel: &'static str, count: usize, threads: u32, parameters: &P) -> Self {
        Self::new(kernel, [count.div_ceil(threads as usize).max(1), 1, 1], threads, parameters)
    }

    /// The same launch with so many bytes of shared memory per block.
    #[must_use]
    pub fn shared(mut self, bytes: usize) -> Self {
        self.shared = bytes as u32;
        self
    }

    /// Checks that GPUs start so many blocks at once.
    ///
    /// # Errors
    /// When they do not: the batch is too large.
    pub fn check(&self) -> Result<()> {
        if self.grid.iter().zip(MOST_BLOCKS).all(|(blocks, most)| (1..=most).contains(blocks)) {
            return Ok(());
        }
        let [x, y, z] = self.grid;
        let [_, most, _] = MOST_BLOCKS;
        let what = format!(
            "{} would need {x} × {y} × {z} blocks of threads; a GPU starts {most} images, or images × landmarks, at most",
            self.kernel
        );
        Err(Error::new(Kind::Computation, what).at("batch_size").remedy("use a smaller batch_size"))
    }

    /// Address of the parameters.
    pub fn parameters(&self) -> *const u64 {
        self.parameters.as_ptr()
    }
}

/// Memory of a GPU, freed when dropped.
pub trait Memory: Send + Debug {
    /// Its first byte; a multiple of 256.
    fn address(&self) -> Address;
}

/// Launches that run one after another.
pub trait Sequence: Send {
    /// Launches them all; returns before they have finished.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn run(&mut self) -> Result<()>;

    /// Launches them one by one, not as a recorded sequence, and waits for them. Returns how long each took, with the gap to
    /// the one before.
    ///
    /// # Errors
    /// When the driver reports a failure, or the device has no clock for launches.
    fn profile(&mut self) -> Result<Vec<LaunchTime>> {
        Err(Error::new(Kind::Device, "this device does not time launches").remedy("use a GPU"))
    }
}

/// How long a launch took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaunchTime {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Number of blocks.
    pub blocks: u64,
    /// Threads of a block.
    pub threads: u32,
    /// Microseconds by the GPU's clock.
    pub microseconds: f64,
}

/// A GPU. Operations run in the order in which they are requested.
pub trait Gpu: Send + Sync {
    /// Memory of zeros.
    ///
    /// # Errors
    /// When the GPU has not enough free memory.
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>>;

    /// Writes bytes.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn write(&self, to: Address, bytes: &[u8]) -> Result<()>;

    /// Reads bytes, once all launches so far have finished.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()>;

    /// Copies bytes from one address to another.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()>;

    /// Launches a kernel; returns before it has finished.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Prepares launches that are repeated.
    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence>;

    /// Address of a contiguous f32 tensor on this GPU.
    ///
    /// # Errors
    /// When the tensor is not on this GPU or not contiguous.
    fn address(&self, tensor: &Tensor) -> Result<Address>;

    /// A new f32 tensor on this GPU; its numbers are not initialised.
    ///
    /// # Errors
    /// When the GPU has not enough free memory.
    fn tensor(&self, shape: &[usize]) -> Result<Tensor>;

    /// Free, total and peak memory.
    ///
    /// # Errors
    /// When the driver reports a failure.
    fn memory_info(&self) -> Result<MemoryInfo>;
}

/// Memory of a GPU, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Not in use by any program.
    pub free: usize,
    /// All of it.
    pub total: usize,
    /// Peak use by this program.
    pub peak: usize,
}

/// Memory that is reused between calls, and enlarged if it is too small.
#[derive(Debug, Default)]
pub struct Scratch(Option<(Box<dyn Memory>, usize)>);

impl Scratch {
    /// Address of at least `bytes` bytes; earlier content is lost if the memory must grow.
    ///
    /// # Errors
    /// When the GPU has not enough free memory.
    pub fn reserve(&mut self, gpu: &dyn Gpu, bytes: usize) -> Result<Address> {
        match &self.0 {
            Some((memory, capacity)) if *capacity >= bytes => Ok(memory.address()),
            _ => {
                // The old memory is freed first: the two need not fit at once.
                self.0 = None;
                let memory = gpu.allocate(bytes)?;
                let address = memory.address();
                self.0 = Some((memory, bytes));
                Ok(address)
            }
        }
    }
}

/// Reads numbers back, once all launches so far have finished.
///
/// # Errors
/// When the driver reports a failure.
pub fn read<T: Number + Default>(gpu: &dyn Gpu, from: Address, count: usize) -> Result<Vec<T>> {
    let mut numbers = vec![T::default(); count];
    // SAFETY: any bytes are valid numbers, without padding.
    let bytes = unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(&*numbers)) };
    gpu.read(from, bytes)?;
    Ok(numbers)
}

/// How planes of so many rows are cut into chunks, each for one block of threads: rows of a chunk, and chunks of a
/// plane. Results depend on it, because sums are added up chunk by chunk: so it never depends on the GPU.
pub fn chunks_of_planes(planes: usize, height: usize) -> (usize, usize) {
    const BLOCKS: usize = 1024;
    let rows = height.div_ceil((BLOCKS / planes.max(1)).clamp(1, height));
    (rows, height.div_ceil(rows))
}

/// The bytes of numbers.
pub fn bytes<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: numbers have no padding, so every byte is initialised.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// Numbers that consist of plain bytes.
///
/// # Safety
/// The type has no padding, and any bytes are a valid value.
pub unsafe trait Number: Copy {}
// SAFETY: plain numbers.
unsafe impl Number for f32 {}
// SAFETY: same as the block before.
unsafe impl Number for u32 {}
// SAFETY: same as the block before.
unsafe impl Number for u64 {}
// SAFETY: same as the block before.
unsafe impl Number for f64 {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Nothing;
    // SAFETY: no bytes.
    unsafe impl Parameters for Nothing {}

    #[test]
    fn more_blocks_than_a_gpu_starts_are_said_before_a_launch() {
        let check = |grid| Launch::new("sum_rows", grid, 256, &Nothing).check();
        for possible in [[1, 1, 1], [0x7fff_ffff, 65_535, 65_535]] {
            check(possible).unwrap();
        }
        // The last would be a single block if it were cut to 32 bits.
        for impossible in [[800, 65_536, 1], [1, 1, 70_000], [(1 << 32) + 1, 1, 1]] {
            let error = check(impossible).unwrap_err();
            assert!(error.message.contains("sum_rows") && error.remedy.is_some(), "{error}");
        }
    }
}

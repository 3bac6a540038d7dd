//! Access to the numbers of tensors on the processor, to read and change them in place.

use std::cell::Cell;
use std::marker::PhantomData;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};
use num_traits::Float;
use sweep_core::error::Kind;

/// Converts a tensor operation's result to the tool's own: its error becomes one of [`Kind::Computation`].
pub trait TensorOperation<T> {
    /// The result.
    ///
    /// # Errors
    /// When the operation failed.
    fn computed(self) -> sweep_core::error::Result<T>;
}

impl<T> TensorOperation<T> for candle_core::Result<T> {
    fn computed(self) -> sweep_core::error::Result<T> {
        self.map_err(|error| sweep_core::error::Error::new(Kind::Computation, error.to_string()))
    }
}

/// Number types of training.
pub trait Real: WithDType + Float {
    /// Converts from double precision, with rounding.
    fn of(value: f64) -> Self;
    /// Converts to double precision.
    fn wide(self) -> f64;
    /// The numbers of a storage, if they have this type.
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(values) = storage { Some(values) } else { None }
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F64(values) = storage { Some(values) } else { None }
    }
}

/// Numbers of a contiguous tensor, given its storage and layout.
///
/// # Errors
/// When the tensor is on another device, not contiguous, or of another type.
pub fn numbers<'a, T: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    match storage {
        Storage::Cpu(storage) => cpu_numbers(storage, layout),
        Storage::Cuda(_) | Storage::Metal(_) => bail!("the tensor is not on the processor"),
    }
}

/// Same as [`numbers`], for a storage that is known to be on the processor.
///
/// # Errors
/// When the tensor is not contiguous or of another type.
pub fn cpu_numbers<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice()?[start..end]),
        None => bail!("the tensor is not contiguous"),
    }
}

/// Calls `f` with a contiguous tensor's numbers.
///
/// # Errors
/// Same errors as [`numbers`], and those of `f`.
pub fn read<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    f(numbers(&storage, layout)?)
}

/// Calls `f` with a contiguous tensor's numbers so that it can change them; all tensors that share the storage change.
/// `f` must not use the tensor in any other way.
///
/// # Errors
/// Same errors as [`numbers`], and those of `f`.
pub fn change<T: Real, R>(tensor: &Tensor, f: impl FnOnce(&mut [T]) -> Result<R>) -> Result<R> {
    let change = Change { f: Cell::new(Some(f)), result: Cell::new(None), numbers: PhantomData };
    tensor.inplace_op1(&change)?;
    match change.result.take() {
        Some(result) => Ok(result),
        None => bail!("the tensor was not changed"),
    }
}

/// A function of numbers as an in-place operation of candle, which runs once.
struct Change<T, F, R> {
    f: Cell<Option<F>>,
    result: Cell<Option<R>>,
    numbers: PhantomData<T>,
}

impl<T: Real, F: FnOnce(&mut [T]) -> Result<R>, R> InplaceOp1 for Change<T, F, R> {
    fn name(&self) -> &'static str {
        "change in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (T::of_storage(storage), layout.contiguous_offsets(), self.f.take()) {
            (Some(values), Some((start, end)), Some(f)) => self.result.set(Some(f(&mut values[start..end])?)),
            (None, ..) => bail!("the tensor does not hold {:?}", T::DTYPE),
            _ => bail!("the tensor is not contiguous"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn numbers_are_read_and_changed_where_they_are() {
        let whole = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((3, 2)).unwrap();
        let row = whole.narrow(0, 1, 1).unwrap();
        let last = change(&row, |values: &mut [f32]| {
            values[0] = 20.0;
            Ok(values[1])
        });
        assert_eq!(last.unwrap().to_bits(), 3f32.to_bits());
        let values = read(&whole, |values: &[f32]| Ok(values.to_vec())).unwrap();
        assert_eq!(values, [0.0, 1.0, 20.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn what_is_not_a_row_of_such_numbers_is_refused() {
        let whole = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        let column = whole.narrow(1, 1, 1).unwrap();
        assert!(read(&column, |_: &[f32]| Ok(())).is_err() && change(&column, |_: &mut [f32]| Ok(())).is_err());
        assert!(read(&whole, |_: &[f64]| Ok(())).is_err() && change(&whole, |_: &mut [f64]| Ok(())).is_err());
        assert!(change(&whole, |_: &mut [f32]| -> Result<()> { bail!("told so") }).is_err());
    }
}

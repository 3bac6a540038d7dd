//! Launches that are repeated, as a CUDA graph.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, CudaStream, result};

use super::{Cuda, failed};
use crate::gpu::{Launch, LaunchTime, Sequence};
use sweep_core::error::{Error, Kind, Result};
use sweep_core::note;

/// Launches that are recorded as a CUDA graph at their second run: the first run may still have to load kernels.
pub(super) struct Recorded {
    gpu: Arc<Cuda>,
    launches: Vec<Launch>,
    runs: u32,
    graph: Option<Graph>,
}

/// A graph that moves between threads with its owner.
struct Graph(CudaGraph);

// SAFETY: any one thread may use a graph at a time; it is reached through `&mut` alone.
unsafe impl Send for Graph {}

impl Recorded {
    pub(super) fn new(gpu: &Arc<Cuda>, launches: Vec<Launch>) -> Self {
        Self { gpu: Arc::clone(gpu), launches, runs: 0, graph: None }
    }

    fn launch_all(&self, stream: &CudaStream) -> Result<()> {
        self.launches.iter().try_for_each(|launch| self.gpu.launch_on(stream, launch))
    }

    /// Records on its own stream: a recording captures everything launched on its stream, by other threads too.
    fn record(&self) -> Result<Graph> {
        let stream = self.gpu.stream.context().new_stream().map_err(|e| failed("recording", e))?;
        stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(|e| failed("recording", e))?;
        let launched = self.launch_all(&stream);
        let graph = stream.end_capture(CUgraphInstantiate_flags(0)).map_err(|e| failed("recording", e));
        launched?;
        graph?.map(Graph).ok_or_else(|| Error::new(Kind::Device, "recording: the driver returned nothing"))
    }
}

impl Sequence for Recorded {
    fn run(&mut self) -> Result<()> {
        self.gpu.bind()?;
        self.runs = self.runs.saturating_add(1);
        if self.runs == 2 && !self.launches.is_empty() {
            match self.record() {
                Ok(graph) => self.graph = Some(graph),
                // Slower, but with the same results.
                Err(error) => note!("a step cannot be recorded, so that its kernels are launched one by one: {error}"),
            }
        }
        let stream = &self.gpu.stream;
        match &self.graph {
            // SAFETY: the graph lives as long as this; all other work is in order on the same stream.
            Some(graph) => unsafe { result::graph::launch(graph.0.cu_graph_exec(), stream.cu_stream()) }
                .map_err(|e| failed("a recorded step", e)),
            None => self.launch_all(stream),
        }
    }

    fn profile(&mut self) -> Result<Vec<LaunchTime>> {
        self.gpu.bind()?;
        let stream = &self.gpu.stream;
        let failed = |e| failed("a profile", e);
        let mark = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed);
        let mut marks = vec![mark()?];
        for launch in &self.launches {
            self.gpu.launch_on(stream, launch)?;
            marks.push(mark()?);
        }
        stream.synchronize().map_err(failed)?;
        let times = self.launches.iter().zip(marks.windows(2)).map(|(launch, pair)| {
            let blocks = launch.grid.iter().map(|n| u64::from(*n)).product();
            let microseconds = 1e3 * f64::from(pair[0].elapsed_ms(&pair[1]).map_err(failed)?);
            Ok(LaunchTime { kernel: launch.kernel, blocks, threads: launch.threads, microseconds })
        });
        times.collect()
    }
}

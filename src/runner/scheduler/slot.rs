//! Slots for trials: a share of a device and of the machine's cores. Pure.

use std::str::FromStr;

/// `--device NAME` or `--device NAME*SLOTS`: a device and how many trials run on it concurrently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Concurrent trials on the device, if specified.
    pub slots: Option<usize>,
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (device, slots) = match text.split_once('*') {
            None => (text, None),
            Some((device, slots)) => {
                let slots = slots.parse().ok().filter(|slots| *slots > 0);
                (device, Some(slots.ok_or_else(|| format!("`{text}`: write slots as cuda:0*2"))?))
            }
        };
        let known = matches!(device, "auto" | "cpu" | "cuda")
            || device.strip_prefix("cuda:").is_some_and(|number| number.parse::<usize>().is_ok());
        if known {
            Ok(Self { device: device.to_owned(), slots })
        } else {
            Err("use auto, cpu, cuda or cuda:N, and *SLOTS behind it for several trials at once".to_owned())
        }
    }
}

/// Where a trial runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// Device, as `--device` takes it.
    pub device: String,
    /// Threads of the trial.
    pub threads: usize,
    /// The only GPU visible to the trial's process, as `CUDA_VISIBLE_DEVICES` takes it.
    pub visible: Option<String>,
    /// GPU memory (MiB) of this slot, if known.
    pub memory_mib: Option<u64>,
}

impl Slot {
    /// A slot on a device with this number of threads.
    #[must_use]
    pub fn new(device: &str, threads: usize) -> Self {
        Self { device: device.to_owned(), threads, ..Self::default() }
    }

    /// Number of its GPU, if it is one.
    fn gpu(&self) -> Option<usize> {
        self.device.strip_prefix("cuda:")?.parse().ok()
    }

    /// Restricts the trial's process to the slot's own GPU. `visible` is the user's `CUDA_VISIBLE_DEVICES`, with numbers or
    /// UUIDs; `memory_mib` is the memory of each GPU, which its `slots` share equally.
    #[must_use]
    pub fn isolated(self, visible: Option<&str>, memory_mib: &[u64], slots: usize) -> Self {
        let Some(number) = self.gpu() else { return self };
        let visible = match visible {
            // The driver renumbers the visible devices.
            Some(list) => list.split(',').nth(number).map(|entry| entry.trim().to_owned()),
            None => Some(number.to_string()),
        };
        let memory_mib = memory_mib.get(number).map(|memory| memory / slots.max(1) as u64);
        Self { visible, memory_mib, ..self }
    }
}

/// The devices that a request stands for, given the numbers of usable GPUs: `auto` and `cuda` stand for all of them, and
/// `auto` for the CPU if there are none.
#[must_use]
pub fn expand(device: &str, usable: &[usize]) -> Vec<String> {
    let gpus = || usable.iter().map(|number| format!("cuda:{number}")).collect();
    match device {
        "auto" if usable.is_empty() => vec!["cpu".to_owned()],
        "auto" => gpus(),
        "cuda" if !usable.is_empty() => gpus(),
        "cuda" => vec!["cuda:0".to_owned()],
        other => vec![other.to_owned()],
    }
}

/// The slots of all devices, given as `(device, slots)`, at most `jobs`; the cores are divided between them. Devices
/// take turns, so that no device stays idle if the number of slots is limited.
#[must_use]
pub fn slots(devices: &[(String, usize)], jobs: Option<usize>, threads: Option<usize>, cores: usize) -> Vec<Slot> {
    let most = devices.iter().map(|(_, slots)| *slots).max().unwrap_or(0);
    let turns = (0..most).flat_map(|turn| devices.iter().filter(move |(_, slots)| *slots > turn));
    let chosen: Vec<String> = turns.map(|(device, _)| device.clone()).take(jobs.unwrap_or(usize::MAX)).collect();
    let share = |slot: usize| {
        let (each, left) = (cores / chosen.len(), cores % chosen.len());
        (each + usize::from(slot < left)).max(1)
    };
    let threads: Vec<usize> = (0..chosen.len()).map(|slot| threads.unwrap_or_else(|| share(slot))).collect();
    chosen.into_iter().zip(threads).map(|(device, threads)| Slot { device, threads, ..Slot::default() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_device_and_its_slots() {
        let request = |device: &str, slots| Ok(Request { device: device.into(), slots });
        assert_eq!("cuda:1*2".parse(), request("cuda:1", Some(2)));
        assert_eq!("cpu".parse(), request("cpu", None));
        for wrong in ["gpu", "cuda:x", "cpu*0", "cpu*", "*2", "cuda:1*two"] {
            assert!(wrong.parse::<Request>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_process_sees_its_own_gpu_alone() {
        let memory = [80_000, 24_000];
        let of = |device: &str, visible, slots| {
            let slot = Slot::new(device, 1).isolated(visible, &memory, slots);
            (slot.visible, slot.memory_mib)
        };
        assert_eq!(of("cuda:1", None, 1), (Some("1".into()), Some(24_000)));
        assert_eq!(of("cuda:0", Some("3,5"), 2), (Some("3".into()), Some(40_000)));
        assert_eq!(of("cuda:1", Some("GPU-8932f937, MIG-4a1c"), 1).0, Some("MIG-4a1c".into()));
        assert_eq!(of("cpu", Some("3,5"), 1), (None, None));
    }

    #[test]
    fn all_gpus_are_meant_where_none_is_named() {
        let of = |device: &str, usable: &[usize]| expand(device, usable).join(" ");
        assert_eq!(of("auto", &[0, 1, 3]), "cuda:0 cuda:1 cuda:3");
        assert_eq!((of("auto", &[]), of("cuda", &[0, 1])), ("cpu".into(), "cuda:0 cuda:1".into()));
        assert_eq!((of("cuda", &[]), of("cuda:1", &[0, 1])), ("cuda:0".into(), "cuda:1".into()));
        assert_eq!(of("cpu", &[0]), "cpu");
    }

    #[test]
    fn cores_are_shared_out_and_devices_take_turns() {
        let devices = [("cuda:0".to_owned(), 2), ("cuda:1".to_owned(), 1)];
        let of = |jobs, threads, cores| -> Vec<(String, usize)> {
            slots(&devices, jobs, threads, cores).into_iter().map(|p| (p.device, p.threads)).collect()
        };
        assert_eq!(of(None, None, 8), [("cuda:0".into(), 3), ("cuda:1".into(), 3), ("cuda:0".into(), 2)]);
        assert_eq!(of(Some(2), None, 8), [("cuda:0".into(), 4), ("cuda:1".into(), 4)]);
        assert_eq!(of(Some(1), Some(5), 2), [("cuda:0".into(), 5)]);
        assert_eq!(of(None, None, 1).len(), 3, "a trial has a thread even where cores are few");
        assert!(slots(&[], None, None, 4).is_empty());
    }
}

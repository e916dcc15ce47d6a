//! Instruction sets, the kernel that each product gets by them, and what kept faster ones away.

use bitgauge_engine::checkpoint::Config;
use bitgauge_engine::isa::{self, Isa, Standing};
use bitgauge_engine::kernels::{Kernel, TABLE};
use bitgauge_engine::model::{Best, Dispatch as _, Group, Place};
use serde::Serialize;

use crate::machine::{Cpu, IsaFeatures};
use crate::run::Measured;

/// Instruction sets: what is compiled, detected, granted, capped and used.
#[derive(Debug, Clone, Serialize)]
pub struct Instructions {
    /// Architecture of this build.
    pub arch: String,
    /// Features that the whole build takes for granted; none in a build that runs everywhere.
    pub required_by_build: Vec<&'static str>,
    /// Those of them that this processor lacks.
    pub required_and_lacking: Vec<&'static str>,
    /// Extensions of interest that this process may use.
    pub usable_extensions: Vec<String>,
    /// Features that the kernel lists and the processor denies: an emulator, or a host that hides
    /// them from programs.
    pub hidden: Measured<Vec<&'static str>>,
    /// The level in `BITGAUGE_ISA`.
    pub cap: Measured<&'static str>,
    /// The level in use.
    pub selected: &'static str,
    /// All levels, lowest first.
    pub levels: Vec<Level>,
}

/// A level.
#[derive(Debug, Clone, Serialize)]
pub struct Level {
    /// Its name.
    pub level: &'static str,
    /// Whether this build holds code of it.
    pub compiled: bool,
    /// Whether the processor has all of it.
    pub detected: bool,
    /// What the processor lacks.
    pub lacking: Vec<&'static str>,
    /// Whether the operating system lets this process use it.
    pub granted: Measured<bool>,
    /// Features that it withholds, and why.
    pub withheld: Vec<Withheld>,
    /// Whether it lies above the cap.
    pub capped: bool,
    /// Whether nothing stands in its way.
    pub usable: bool,
}

/// A feature that the operating system withholds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Withheld {
    /// The feature.
    pub feature: &'static str,
    /// Why.
    pub why: String,
}

impl Instructions {
    pub(super) fn detect(features: &IsaFeatures) -> Self {
        let standings = Isa::ALL.map(Isa::standing);
        let all = &standings[Isa::ALL.len() - 1];
        let required_by_build = isa::required_by_build();
        let lacks = |feature: &&&str| all.lacking.contains(feature);
        Self {
            arch: features.arch.clone(),
            required_and_lacking: required_by_build.iter().filter(lacks).copied().collect(),
            required_by_build,
            usable_extensions: features.detected.clone(),
            hidden: Measured::or(
                Cpu::kernel_flags().map(|flags| hidden(&all.lacking, &flags)),
                "this system does not list the processor's features",
            ),
            cap: match isa::cap() {
                Ok(Some(cap)) => Measured::Is(cap.name()),
                _ => Measured::unavailable("BITGAUGE_ISA is not set"),
            },
            selected: Isa::highest().name(),
            levels: standings.iter().map(Level::of).collect(),
        }
    }
}

/// What is lacking although the kernel lists it; the kernel writes `avx512_vnni` and `amx_int8`.
fn hidden(lacking: &[&'static str], flags: &[String]) -> Vec<&'static str> {
    let plain = |name: &str| name.replace(['_', '-'], "");
    let listed = |feature: &&&str| flags.iter().any(|flag| plain(flag) == plain(feature));
    lacking.iter().filter(listed).copied().collect()
}

impl Level {
    fn of(standing: &Standing) -> Self {
        let withheld = |&(feature, why): &(&'static str, isa::Withheld)| Withheld {
            feature,
            why: why.to_string(),
        };
        Self {
            level: standing.isa.name(),
            compiled: standing.compiled,
            detected: standing.detected(),
            lacking: standing.lacking.clone(),
            granted: match standing.detected() {
                true => Measured::Is(standing.withheld.is_empty()),
                false => Measured::unavailable("the processor lacks it: nothing is to be granted"),
            },
            withheld: standing.withheld.iter().map(withheld).collect(),
            capped: standing.capped.is_some(),
            usable: standing.usable(),
        }
    }

    /// What stands in the way of it, as a phrase; `None` where nothing does.
    pub fn obstacle(&self) -> Option<String> {
        let mut obstacles = Vec::new();
        if !self.compiled {
            obstacles.push("this build has no code of it".to_owned());
        }
        if !self.lacking.is_empty() {
            obstacles.push(format!("the processor lacks {}", self.lacking.join(", ")));
        }
        for alike in self.withheld.chunk_by(|a, b| a.why == b.why) {
            let features: Vec<&str> = alike.iter().map(|w| w.feature).collect();
            obstacles.push(format!("{}: {}", features.join(", "), alike[0].why));
        }
        if self.capped {
            obstacles.push("BITGAUGE_ISA caps it away".to_owned());
        }
        (!obstacles.is_empty()).then(|| obstacles.join("; "))
    }
}

/// Which kernel each product of a model gets.
#[derive(Debug, Clone, Serialize)]
pub struct Dispatch {
    /// Layers of the model.
    pub layers: usize,
    /// Products of neighbouring layers with the same kernel are one row.
    pub selected: Vec<Selected>,
    /// Products that run portable code although this machine could do better.
    pub fallbacks: usize,
    /// Kernels that are expected to be faster than the selected ones and can't run here.
    pub refused: Vec<Refused>,
}

/// A run of layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selected {
    /// First layer, from 0.
    pub first_layer: usize,
    /// Last layer, included.
    pub last_layer: usize,
    /// `qkv`, `o`, `gate_up` or `down`.
    pub product: &'static str,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// The kernel.
    pub kernel: &'static str,
    /// The level that it needs.
    pub isa: &'static str,
    /// Bits that a weight takes.
    pub bits_per_weight: f64,
}

/// A kernel that can't run here.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Its name.
    pub kernel: &'static str,
    /// The level that it needs.
    pub isa: &'static str,
    /// What stands in its way.
    pub why: String,
}

impl Dispatch {
    /// Asks the engine's own dispatch about every product; nothing is packed.
    pub(super) fn of(config: &Config) -> Self {
        let mut selected: Vec<Selected> = Vec::new();
        let mut fallbacks = 0;
        for group in Group::ALL {
            for layer in 0..config.num_hidden_layers {
                let place = place(config, layer, group);
                let spec = Best.choose(&place).spec();
                fallbacks +=
                    usize::from(spec.isa() == Isa::Portable && Isa::highest() != Isa::Portable);
                let row = Selected {
                    first_layer: layer,
                    last_layer: layer,
                    product: group.name(),
                    rows: place.rows,
                    cols: place.cols,
                    kernel: spec.name(),
                    isa: spec.isa().name(),
                    bits_per_weight: spec.bits_per_weight(),
                };
                match selected.last_mut() {
                    Some(last) if last.goes_on(&row) => last.last_layer = layer,
                    _ => selected.push(row),
                }
            }
        }
        Self {
            layers: config.num_hidden_layers,
            refused: refused(&selected),
            selected,
            fallbacks,
        }
    }

    /// Bytes of all ternary matrices as these kernels pack them, padding aside.
    pub(super) fn ternary_bytes(&self) -> u64 {
        let bytes = |row: &Selected| {
            let layers = row.last_layer - row.first_layer + 1;
            (row.rows * row.cols * layers) as f64 * row.bits_per_weight / 8.0
        };
        self.selected.iter().map(bytes).sum::<f64>() as u64
    }
}

impl Selected {
    fn goes_on(&self, next: &Self) -> bool {
        let same = Self {
            first_layer: self.first_layer,
            ..next.clone()
        };
        self.last_layer + 1 == next.first_layer
            && same
                == Self {
                    last_layer: next.last_layer,
                    ..self.clone()
                }
    }
}

fn place(config: &Config, layer: usize, group: Group) -> Place {
    let shapes = group.linears().iter().map(|linear| linear.shape(config));
    let (rows, cols) = shapes.fold((0, 0), |(rows, _), (n, k)| (rows + n, k));
    Place {
        layer,
        group,
        rows,
        cols,
    }
}

/// The rows of the kernel table after the last that is used, which can't run here.
fn refused(selected: &[Selected]) -> Vec<Refused> {
    let used = |name: &str| selected.iter().any(|row| row.kernel == name);
    let last = TABLE.iter().rposition(|spec| used(spec.name()));
    let faster = last.map_or(0, |last| last + 1);
    let refused = TABLE[faster..].iter().filter_map(|spec| {
        Kernel::new(spec).err()?;
        let level = Level::of(&spec.isa().standing());
        Some(Refused {
            kernel: spec.name(),
            isa: spec.isa().name(),
            why: level.obstacle().unwrap_or_default(),
        })
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitgauge_engine::model::Model;
    use bitgauge_engine::synthetic;

    /// The rows are those of a model that was really packed.
    #[test]
    fn dispatch_is_that_of_the_packed_model() {
        let config = synthetic::shape("tiny").unwrap();
        let dispatch = Dispatch::of(&config);
        let model = Model::load(&synthetic::model(config, 1), &Best).unwrap();
        assert_eq!(dispatch.layers, model.layers().len());
        assert_eq!(dispatch.fallbacks, model.fallbacks());
        for (layer, packed) in model.layers().iter().enumerate() {
            for group in Group::ALL {
                let matrix = packed.projection(group).matrix();
                let row = dispatch.selected.iter().find(|row| {
                    row.product == group.name()
                        && (row.first_layer..=row.last_layer).contains(&layer)
                });
                let row = row.unwrap();
                assert_eq!(row.kernel, matrix.kernel().spec().name());
                assert_eq!((row.rows, row.cols), (matrix.rows(), matrix.cols()));
            }
        }
        let packed = model.ternary_bytes() as f64;
        let said = dispatch.ternary_bytes() as f64;
        assert!((0.8..=1.0).contains(&(said / packed)), "{said} {packed}");
    }

    #[test]
    fn layers_alike_are_one_row_and_a_gap_ends_it() {
        let config = synthetic::shape("tiny").unwrap();
        let row = Dispatch::of(&config).selected.remove(0);
        let at = |first_layer, last_layer, kernel| Selected {
            first_layer,
            last_layer,
            kernel,
            ..row.clone()
        };
        assert!(at(0, 1, "a").goes_on(&at(2, 2, "a")));
        assert!(!at(0, 1, "a").goes_on(&at(2, 2, "b")));
        assert!(!at(0, 1, "a").goes_on(&at(3, 3, "a")));
    }

    fn level(lacking: &[&'static str], withheld: &[(&'static str, &str)], capped: bool) -> Level {
        let withheld = withheld.iter().map(|(feature, why)| Withheld {
            feature,
            why: (*why).to_owned(),
        });
        Level {
            level: "amx-int8",
            compiled: true,
            detected: lacking.is_empty(),
            lacking: lacking.to_vec(),
            granted: Measured::Is(true),
            withheld: withheld.collect(),
            capped,
            usable: false,
        }
    }

    #[test]
    fn every_obstacle_is_named() {
        assert_eq!(level(&[], &[], false).obstacle(), None);
        let all = level(
            &["avx512f", "avx512bw"],
            &[("amx-tile", "not saved"), ("amx-int8", "not saved")],
            true,
        );
        assert_eq!(
            all.obstacle().unwrap(),
            "the processor lacks avx512f, avx512bw; amx-tile, amx-int8: not saved; BITGAUGE_ISA caps it away"
        );
    }

    #[test]
    fn what_the_kernel_lists_and_the_processor_denies_is_hidden() {
        let flags = ["avx2", "avx512f", "avx512_vnni", "amx_int8"].map(str::to_owned);
        let lacking = ["avx512f", "avx512vl", "avx512vnni", "amx-int8"];
        assert_eq!(
            hidden(&lacking, &flags),
            ["avx512f", "avx512vnni", "amx-int8"]
        );
        assert!(hidden(&[], &flags).is_empty());
    }
}

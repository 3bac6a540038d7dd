//! Examples of a specification: one value per variant, for tests that must hold for all of them.

/// Implements `examples()` for a specification. Its variants are matched exhaustively, one an arm, so that a new one does
/// not compile without an example of its own.
macro_rules! examples {
    ($specification:ident { $($variant:pat_param => $example:expr),+ $(,)? }) => {
        impl $specification {
            /// One small, valid value per variant, for tests that must hold for all of them.
            ///
            /// The custom variant, if there is one, is of kind [`EXAMPLE_KIND`](sweep_core::registry::EXAMPLE_KIND),
            /// which the test registers.
            #[must_use]
            pub fn examples() -> Vec<Self> {
                let require_example = |specification: &Self| match specification {
                    $($variant => {})+
                };
                let examples = vec![$($example),+];
                examples.iter().for_each(require_example);
                examples
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Debug;
    use std::mem::discriminant;

    use schemars::{JsonSchema, schema_for};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::loss::LossSpec;
    use crate::lr_schedule::ScheduleSpec;
    use crate::networks::ModelSpec;
    use crate::optim::OptimizerSpec;

    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug + JsonSchema>(examples: &[T]) {
        let variants: HashSet<_> = examples.iter().map(discriminant).collect();
        assert_eq!(variants.len(), examples.len(), "an arm holds another variant's example");
        let all = schema_for!(T).get("oneOf").and_then(|variants| variants.as_array().map(Vec::len));
        assert_eq!(Some(examples.len()), all, "an arm stands for several variants");
        for example in examples {
            let text = toml::to_string(example).unwrap();
            assert_eq!(toml::from_str::<T>(&text).unwrap(), *example, "{text}");
        }
    }

    #[test]
    fn every_variant_has_one_example_that_survives_a_file() {
        check(&ModelSpec::examples());
        check(&LossSpec::examples());
        check(&OptimizerSpec::examples());
        check(&ScheduleSpec::examples());
    }
}

//! Specifications of networks: defaults, keys, errors, and the graphs they build.

use super::*;
use sweep_core::error::Result;
use sweep_core::units::Size;

fn parse(text: &str) -> Result<ModelSpec, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn a_name_alone_means_the_published_sizes() {
    let filters = vec![16, 32, 64, 128, 256];
    let (head, weights) = (HeadSpec::default(), None);
    let unetpp = ModelSpec::UNetPlusPlus { filters, deep_supervision: false, norm: NormSpec::batch(), head, weights };
    assert_eq!(parse("name = 'unet++'").unwrap(), unetpp);
    let (filters, norm, head) = (vec![64, 128, 256, 512], NormSpec::none(), HeadSpec::default());
    let upsampling = unet::Upsampling::Nearest;
    let unet = ModelSpec::UNet { filters, upsampling, norm, head, weights: None };
    assert_eq!(parse("name = 'unet'").unwrap(), unet);
    let sizes = "name = 'unet-resnet18'\nfilters = [64, 128, 256, 512]\ndecoder = [256, 128, 64, 32, 16]";
    assert_eq!(parse("name = 'unet-resnet18'").unwrap(), parse(sizes).unwrap());
}

#[test]
fn a_default_normalisation_is_not_written_and_another_is() {
    let written = |text: &str| serde_json::to_value(parse(text).unwrap()).unwrap();
    for name in ["unet++", "unet"] {
        assert!(written(&format!("name = '{name}'")).get("norm").is_none(), "{name}");
        let grouped = written(&format!("name = '{name}'\nnorm = {{ name = 'group', groups = 8 }}"));
        assert_eq!(grouped["norm"], serde_json::json!({ "name": "group", "groups": 8 }));
    }
    assert_eq!(written("name = 'unet++'\nnorm = { name = 'batch' }"), written("name = 'unet++'"));
    assert_eq!(written("name = 'unet'\nnorm = { name = 'none' }"), written("name = 'unet'"));
    assert_eq!(written("name = 'unet'\nnorm = { name = 'batch' }")["norm"]["name"], "batch");
}

#[test]
fn every_convolution_but_the_heads_is_normalised_as_said() {
    use sweep_graph::{Node, NormKind};
    for (norm, kind) in [
        (NormSpec::none(), None),
        (NormSpec::batch(), Some(NormKind::Batch)),
        (NormSpec::Group { groups: 2 }, Some(NormKind::Group { groups: 2 })),
        // One group per channel of each convolution.
        (NormSpec::Instance {}, Some(NormKind::Group { groups: 0 })),
    ] {
        let norm = toml::to_string(&norm).unwrap().replace('\n', ", ");
        let rest = format!("filters = [4, 8, 6]\nnorm = {{ {} }}", norm.trim_end_matches(", "));
        for name in ["unet++", "unet", "attention-unet", "unet-resnet18"] {
            if name == "unet-resnet18" && kind.is_none() {
                continue;
            }
            let decoder = if name == "unet-resnet18" { "\ndecoder = [8, 6, 4, 2]" } else { "" };
            let spec = parse(&format!("name = '{name}'\n{rest}{decoder}")).unwrap();
            for node in spec.graph(1, 3).unwrap().nodes() {
                let Node::Convolution { name, channels, norm, .. } = node else { continue };
                let kind = match kind {
                    Some(NormKind::Group { groups: 0 }) => Some(NormKind::Group { groups: *channels }),
                    // A gate's only channel.
                    Some(NormKind::Group { .. }) if *channels == 1 => Some(NormKind::Group { groups: 1 }),
                    kind => kind,
                };
                let is_head = ["final", "segmentation_head", "Conv_1x1"].iter().any(|head| name.starts_with(head));
                let expected = if is_head { None } else { kind };
                assert_eq!(norm.as_ref().map(|norm| norm.kind), expected, "{spec:?} {node:?}");
            }
        }
    }
    let spec = parse("name = 'unet'\nfilters = [4, 7]\nnorm = { name = 'group', groups = 2 }").unwrap();
    assert_eq!(spec.graph(1, 3).unwrap_err().location.as_deref(), Some("norm.groups"));
}

#[test]
fn unknown_keys_and_names_are_errors() {
    assert!(parse("name = 'unet'\nnorm = { name = 'batch', groups = 8 }").is_err());
    assert!(parse("name = 'unet'\nnorm = { name = 'group' }").is_err());
    assert!(parse("name = 'unet'\nfilter = [1, 2]").is_err());
    assert!(parse("name = 'unet'\ndeep_supervision = true").is_err());
    assert!(parse("name = 'vnet'").is_err());
    assert!(parse("name = 'unet'\nnorm = { name = 'instance', groups = 8 }").is_err());
    assert!(parse("name = 'unet'\nhead = { name = 'scn', kernels = 8 }").is_err());
    assert!(parse("name = 'unet'\ndecoder = [4, 2]").is_err());
    assert!(parse("name = 'unet'\nweights = { path = 'a.pth', prefx = 'encoder.' }").is_err());
}

#[test]
fn a_residual_network_needs_a_block_more_than_stages_and_a_normalisation() {
    for (rest, key) in [
        ("filters = [4, 8]\ndecoder = [4, 2]", "decoder"),
        ("filters = [4, 8]\ndecoder = [4, 0, 2]", "decoder"),
        ("filters = [4]\ndecoder = [4, 2]", "filters"),
        ("norm = { name = 'none' }", "norm"),
        ("norm = { name = 'group', groups = 32 }", "norm.groups"),
    ] {
        let error = parse(&format!("name = 'unet-resnet18'\n{rest}")).unwrap().check().unwrap_err();
        assert_eq!(error.location.as_deref(), Some(key));
        assert!(error.remedy.is_some());
    }
}

#[test]
fn impossible_filters_name_their_key() {
    for filters in [vec![], vec![16], vec![16, 0, 64], vec![1; 17]] {
        for name in ["unet", "unet++", "attention-unet", "unet-resnet18", "deeplabv3+"] {
            let spec = parse(&format!("name = '{name}'\nfilters = {filters:?}")).unwrap();
            let error = spec.graph(1, 10).unwrap_err();
            assert_eq!(error.location.as_deref(), Some("filters"), "{filters:?}");
            assert!(error.remedy.is_some());
        }
    }
    assert!(parse(&format!("name = 'unet'\nfilters = {:?}", [1; 16])).unwrap().check().is_ok());
}

#[test]
fn a_network_needs_channels_and_landmarks() {
    let spec = parse("name = 'unet'\nfilters = [4, 8]").unwrap();
    assert!(spec.graph(0, 10).is_err());
    assert!(spec.graph(1, 0).is_err());
    assert!(spec.graph(1, 1).is_ok());
}

#[test]
fn heads_have_the_size_of_the_image_whatever_it_is() {
    for (spec, heads) in [
        ("name = 'unet++'\nfilters = [4, 8, 16]", 1),
        ("name = 'unet++'\nfilters = [4, 8, 16]\ndeep_supervision = true", 2),
        ("name = 'unet++'\nfilters = [4, 8]\nhead = { name = 'scn', filters = 3 }", 1),
        ("name = 'unet'\nfilters = [4, 8, 16, 32]", 1),
        ("name = 'unet-resnet18'", 1),
        ("name = 'attention-unet'\nfilters = [4, 8, 16]", 1),
        ("name = 'deeplabv3+'", 1),
    ] {
        let graph = parse(spec).unwrap().graph(3, 7).unwrap();
        let sizes = graph.sizes(Size { height: 21, width: 19 }).unwrap();
        assert_eq!(graph.heads().len(), heads);
        for head in graph.heads() {
            assert_eq!(sizes[head.0], Size { height: 21, width: 19 });
            assert_eq!(graph.channels(*head), 7);
        }
    }
}

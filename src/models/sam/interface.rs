//! Detection of the kind of a SAM graph by its inputs and outputs.
//!
//! Exports of the encoder differ in the names of their tensors and in the axis order of the image; exports of the
//! decoder in the number of masks and prompts, and in whether they upsample the masks. Other graphs are refused with a
//! list of their inputs and outputs.

use serde::{Deserialize, Serialize};

use super::encoder_input::{Layout, Prepared};
use super::model::{DecoderSpec, EncoderSpec, MODEL_FILE};

/// The three forms of SAM mask decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderInterface {
    /// `low_res_masks` [B, 4, 256, 256] and `iou_predictions` [B, 4]: the single-mask token and the three of
    /// multimask output. No `orig_im_size`.
    FourMask,
    /// As [`FourMask`](Self::FourMask), with one mask.
    SingleMask,
    /// The official export: a sixth input `orig_im_size`, and `masks` of the full size in addition to `low_res_masks`
    /// (one or four). Its low-resolution masks are used, so that all decoders share one upsampling.
    Official,
}

/// Names and shapes of the inputs and outputs of an ONNX graph; -1 is a free dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signature {
    pub inputs: Vec<(String, Vec<i64>)>,
    pub outputs: Vec<(String, Vec<i64>)>,
}

impl Signature {
    pub(super) fn of(session: &ort::session::Session) -> Self {
        let list = |outlets: &[ort::value::Outlet]| {
            let shape = |o: &ort::value::Outlet| o.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
            outlets.iter().map(|o| (o.name().to_string(), shape(o))).collect()
        };
        Signature { inputs: list(session.inputs()), outputs: list(session.outputs()) }
    }

    fn input(&self, name: &str) -> Option<&[i64]> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, shape)| shape.as_slice())
    }

    fn output(&self, name: &str) -> Option<&[i64]> {
        self.outputs.iter().find(|(n, _)| n == name).map(|(_, shape)| shape.as_slice())
    }

    /// Inputs and outputs as text, for messages.
    fn describe(&self) -> String {
        let list = |tensors: &[(String, Vec<i64>)]| {
            tensors.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ")
        };
        format!("inputs are {}; outputs are {}", list(&self.inputs), list(&self.outputs))
    }

    /// The image input of an encoder: its name and how many axes it has.
    pub(super) fn encoder_input(&self, spec: &EncoderSpec) -> Result<(String, usize), String> {
        let (name, shape) = match (&spec.input, self.inputs.as_slice()) {
            (Some(wanted), inputs) => inputs
                .iter()
                .find(|(name, _)| name == wanted)
                .ok_or_else(|| format!("expected an input `{wanted}`; {}", self.describe()))?,
            (None, [only]) => only,
            (None, _) => return Err(format!("expected one input, the image; {}", self.describe())),
        };
        if self.inputs.len() != 1 {
            return Err(format!("expected one input, the image; {}", self.describe()));
        }
        // Free where the graph brings what it gets to the frame.
        let size = if spec.prepared == Prepared::Padded { spec.size as i64 } else { -1 };
        let wanted = match (spec.layout, shape.len()) {
            (Layout::Chw, 4) => vec![1, 3, size, size],
            (Layout::Hwc, 4) => vec![1, size, size, 3],
            (Layout::Hwc, 3) => vec![size, size, 3],
            _ => return Err(format!("expected an image of layout {:?}; {}", spec.layout, self.describe())),
        };
        if shape.iter().zip(&wanted).any(|(have, want)| *have >= 0 && have != want) {
            return Err(format!("expected an input of shape {wanted:?}; {}", self.describe()));
        }
        Ok((name.clone(), wanted.len()))
    }

    /// The form of a decoder, checked against what the description says.
    pub(super) fn decoder_interface(&self, spec: &DecoderSpec) -> Result<DecoderInterface, String> {
        for required in ["image_embeddings", "point_coords", "point_labels"] {
            if self.input(required).is_none() {
                return Err(format!("no input `{required}`; {}", self.describe()));
            }
        }
        const KNOWN: [&str; 6] =
            ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"];
        if let Some((unknown, _)) = self.inputs.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            return Err(format!("SAM has no input `{unknown}`; {}", self.describe()));
        }
        let (Some(masks), Some(_)) = (self.output("low_res_masks"), self.output("iou_predictions")) else {
            return Err(format!("no outputs `low_res_masks` and `iou_predictions`; {}", self.describe()));
        };
        let tokens = masks.get(1).copied().unwrap_or(-1);
        let told = match (self.input("orig_im_size"), tokens) {
            (Some(_), -1 | 1 | 4) => Some(DecoderInterface::Official),
            (None, 4) => Some(DecoderInterface::FourMask),
            (None, 1) => Some(DecoderInterface::SingleMask),
            (None, -1) => None,
            _ => return Err(format!("expected 1 or 4 masks; {}", self.describe())),
        };
        match (told, spec.interface) {
            (Some(told), Some(said)) if told != said => {
                Err(format!("{MODEL_FILE} states {said:?}, but the graph is {told:?}; {}", self.describe()))
            }
            (Some(interface), _) | (None, Some(interface)) => Ok(interface),
            (None, None) => Err(format!(
                "the graph does not state how many masks it returns: set `interface` under [decoder] in {MODEL_FILE}; \
                 {}",
                self.describe()
            )),
        }
    }

    /// Most prompts that one run of a decoder can take: 1 where the graph fixes the batch dimension.
    pub(super) fn fixed_batch(&self) -> bool {
        self.input("point_coords").and_then(|shape| shape.first()).is_some_and(|&batch| batch == 1)
    }

    /// True where the decoder takes an earlier mask as a prompt.
    pub(super) fn takes_mask(&self) -> bool {
        self.input("mask_input").is_some() && self.input("has_mask_input").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::sam::model::{MOBILE_SAM, ModelSpec};

    fn signature(inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]) -> Signature {
        let list = |t: &[(&str, &[i64])]| t.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect();
        Signature { inputs: list(inputs), outputs: list(outputs) }
    }

    const PROMPT: [(&str, &[i64]); 5] = [
        ("image_embeddings", &[1, 256, 64, 64]),
        ("point_coords", &[-1, -1, 2]),
        ("point_labels", &[-1, -1]),
        ("mask_input", &[1, 1, 256, 256]),
        ("has_mask_input", &[1]),
    ];

    fn decoder(official: bool, masks: i64) -> Signature {
        let mut inputs = PROMPT.to_vec();
        let mut outputs: Vec<(&str, &[i64])> = vec![("iou_predictions", &[-1, -1])];
        let shape = [-1, masks, 256, 256];
        outputs.push(("low_res_masks", &shape));
        if official {
            inputs.push(("orig_im_size", &[2]));
            outputs.push(("masks", &[-1, -1, -1, -1]));
        }
        signature(&inputs, &outputs)
    }

    fn spec(interface: Option<DecoderInterface>) -> DecoderSpec {
        DecoderSpec { file: "d.onnx".into(), interface }
    }

    #[test]
    fn decoders_are_told_apart() {
        use DecoderInterface::*;
        assert_eq!(decoder(false, 4).decoder_interface(&spec(None)), Ok(FourMask));
        assert_eq!(decoder(false, 1).decoder_interface(&spec(None)), Ok(SingleMask));
        assert_eq!(decoder(true, 1).decoder_interface(&spec(None)), Ok(Official));
        assert_eq!(decoder(true, -1).decoder_interface(&spec(Some(Official))), Ok(Official));
        assert_eq!(decoder(false, -1).decoder_interface(&spec(Some(FourMask))), Ok(FourMask));
        assert!(decoder(false, -1).decoder_interface(&spec(None)).unwrap_err().contains("set `interface`"));
        assert!(decoder(false, 4).decoder_interface(&spec(Some(SingleMask))).unwrap_err().contains("but the graph"));
        assert!(decoder(false, 3).decoder_interface(&spec(None)).unwrap_err().contains("1 or 4 masks"));
    }

    #[test]
    fn foreign_graphs_are_explained() {
        let classifier = signature(&[("x", &[1, 3, 224, 224])], &[("logits", &[1, 1000])]);
        let message = classifier.decoder_interface(&spec(None)).unwrap_err();
        assert_eq!(message, "no input `image_embeddings`; inputs are x [1, 3, 224, 224]; outputs are logits [1, 1000]");
        let mut hq = decoder(true, 1);
        hq.inputs.push(("interm_embeddings".into(), vec![-1, 1, 64, 64, 768]));
        assert!(hq.decoder_interface(&spec(None)).unwrap_err().contains("no input `interm_embeddings`"));
        let encoder = ModelSpec::parse(MOBILE_SAM).unwrap().encoder;
        assert!(classifier.encoder_input(&encoder).unwrap_err().contains("expected an input of shape"));
    }

    #[test]
    fn encoder_inputs_follow_the_layout() {
        let mut spec = ModelSpec::parse(MOBILE_SAM).unwrap().encoder;
        let chw = signature(&[("input", &[-1, 3, 1024, 1024])], &[("output", &[1, 256, 64, 64])]);
        assert_eq!(chw.encoder_input(&spec), Ok(("input".to_string(), 4)));
        spec.layout = Layout::Hwc;
        let hwc = signature(&[("input_image", &[-1, -1, 3])], &[("image_embeddings", &[1, 256, 64, 64])]);
        assert_eq!(hwc.encoder_input(&spec), Ok(("input_image".to_string(), 3)));
        let fixed = signature(&[("input_image", &[1024, 1024, 3])], &[("image_embeddings", &[1, 256, 64, 64])]);
        spec.prepared = Prepared::Resized;
        assert!(hwc.encoder_input(&spec).is_ok() && fixed.encoder_input(&spec).is_err());
        spec.input = Some("image".into());
        assert!(hwc.encoder_input(&spec).unwrap_err().contains("expected an input `image`"));
    }
}

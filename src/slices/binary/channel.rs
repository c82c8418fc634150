//! The channel of a colour picture in which its object is.

use std::borrow::Cow;
use std::collections::HashMap;

use super::census::each_field;
use super::{LABELS, first_of};
use crate::image::{Image, Meaning, Samples, Scaling};
use crate::slices::plane::Axis;
use crate::with_samples;

/// A colour is grey where its channels differ by at most this, and by at most an eighth of the brightest
/// value.
const TINT: u8 = 32;
/// No more colours than this are drawn, without noise of compression.
const FEW: usize = 8;

/// One component as an image of its own.
pub(in crate::slices) fn component(image: &Image, channel: usize) -> Image {
    let samples = with_samples!(&image.samples, v => v.iter().skip(channel).step_by(image.components).copied().collect::<Vec<_>>().into());
    let meaning = Meaning { low_is_white: image.meaning.low_is_white && image.components < 3, ..Meaning::default() };
    Image { components: 1, samples, palette: None, meaning, ..image.clone_frame() }
}

/// What a spec can say of a file of layers.
pub(in crate::slices) fn layers_problem(components: usize) -> String {
    format!(
        "has {components} layers, but the spec does not select one: write decode = {{ kind = \"channel\", channel = 0, \
         above = 0 }} for the first, or read its segments by name"
    )
}

/// The image itself where it has one value for each pixel and no palette; else the channel in which its object is.
pub(super) fn one_channel<'a>(image: &'a Image, axis: Axis, notes: &mut Vec<String>) -> Result<Cow<'a, Image>, String> {
    if image.components == 1 && image.palette.is_none() {
        return Ok(Cow::Borrowed(image));
    }
    if image.meaning.layers {
        return Err(layers_problem(image.components));
    }
    let (mut pixels, slope) = rgba(image)?;
    let mut tally = tally(&pixels);
    let indexed = image.palette.is_some();
    let first = tally.keys().next().copied().unwrap_or_default();
    let opacity_varies = tally.keys().any(|c| c[3] != first[3]);
    let colour_varies = tally.keys().any(|c| c[..3] != first[..3]);
    let grey = |samples: Vec<u8>| {
        let meaning =
            Meaning { low_is_white: image.meaning.low_is_white && image.components == 2, ..Meaning::default() };
        let scaling = Scaling { slope, intercept: 0.0 };
        let bits = if indexed { 8 } else { image.bits.min(8) };
        Image {
            components: 1,
            samples: Samples::U8(samples),
            bits,
            scaling,
            meaning,
            palette: None,
            ..image.clone_frame()
        }
    };
    if opacity_varies && !colour_varies {
        notes.push("all pixels of a mask have the same colour: the opaque pixels are the object".into());
        return Ok(Cow::Owned(grey(pixels.iter().map(|c| c[3]).collect())));
    }
    if opacity_varies {
        let hidden: u64 =
            tally.iter().filter(|(c, _)| c[3] == 0 && c[..3].iter().any(|&v| v > 127)).map(|(_, n)| n).sum();
        if hidden > 0 {
            return Err(format!(
                "{hidden} pixels are bright and fully transparent, so colour and opacity contradict each other (read \
                 one of them with decode = {{ kind = \"channel\", channel = …, above = … }}; opacity is the last \
                 channel)"
            ));
        }
    }
    if opacity_varies && !indexed {
        for c in &mut pixels {
            let [r, g, b, a] = *c;
            *c = [r, g, b]
                .map(|v| ((u16::from(v) * u16::from(a) + 127) / 255) as u8)
                .into_iter()
                .chain([255])
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_default();
        }
        tally = self::tally(&pixels);
    } else {
        pixels.iter_mut().for_each(|c| c[3] = 255);
        tally = self::tally(&pixels);
    }
    let channel = object_channel(image, axis, &pixels, &tally)?;
    Ok(Cow::Owned(grey(pixels.iter().map(|c| c[channel]).collect())))
}

/// Colours of all pixels, and what a level of them is worth. Levels of 16 bits are cut to 8.
fn rgba(image: &Image) -> Result<(Vec<[u8; 4]>, f64), String> {
    if let Some(palette) = &image.palette {
        let colour = |i: usize| palette.get(i).copied().unwrap_or([0, 0, 0, 255]);
        return Ok((with_samples!(&image.samples, v => v.iter().map(|&i| colour(i as usize)).collect()), 1.0));
    }
    let pixel = |p: &[u8]| match *p {
        [v, a] => [v, v, v, a],
        [r, g, b] => [r, g, b, 255],
        [r, g, b, a, ..] => [r, g, b, a],
        _ => [0, 0, 0, 255],
    };
    match &image.samples {
        Samples::U8(v) => Ok((v.chunks_exact(image.components).map(pixel).collect(), 1.0)),
        Samples::U16(v) => {
            let wide = v.iter().any(|&v| v > 255);
            let bytes: Vec<u8> = v.iter().map(|&v| if wide { (v >> 8) as u8 } else { v as u8 }).collect();
            Ok((bytes.chunks_exact(image.components).map(pixel).collect(), if wide { 257.0 } else { 1.0 }))
        }
        other => {
            Err(format!("has {} components of {}, but the spec reads a single object", image.components, other.dtype()))
        }
    }
}

/// How many pixels have each colour.
fn tally(pixels: &[[u8; 4]]) -> HashMap<[u8; 4], u64> {
    let mut tally = HashMap::new();
    for run in pixels.chunk_by(|a, b| a == b) {
        *tally.entry(run[0]).or_insert(0) += run.len() as u64;
    }
    tally
}

/// The channel that tells the object of a colour picture from its background; red where all do.
fn object_channel(
    image: &Image,
    axis: Axis,
    pixels: &[[u8; 4]],
    tally: &HashMap<[u8; 4], u64>,
) -> Result<usize, String> {
    let mut colours: Vec<([u8; 4], u64)> = tally.iter().map(|(&c, &n)| (c, n)).collect();
    colours.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let spread = |c: [u8; 4]| c[..3].iter().max().unwrap_or(&0) - c[..3].iter().min().unwrap_or(&0);
    let brightest = |c: [u8; 4]| *c[..3].iter().max().unwrap_or(&0);
    let high = colours.iter().map(|&(c, _)| brightest(c)).max().unwrap_or(0);
    if colours.iter().all(|&(c, _)| spread(c) <= TINT.min(high / 8)) {
        return Ok(0);
    }
    let noise = if f64::from(high) < LABELS { 0 } else { high / 16 };
    let far = |a: [u8; 4], b: [u8; 4]| (0..3).any(|i| a[i].abs_diff(b[i]) > noise);
    let refuse = |problem: &str| {
        let words = colours.iter().map(|([r, g, b, _], n)| format!("#{r:02x}{g:02x}{b:02x} ({n} px)"));
        Err(format!(
            "{problem}; the colours are {}. Write decode = {{ kind = \"colours\" }} with a label for each, or read one \
             channel: decode = {{ kind = \"channel\", channel = 0, above = 127 }} is red",
            first_of(words, colours.len())
        ))
    };
    // Colours that are drawn, and no mixture at an edge.
    let coloured: u64 = colours.iter().filter(|(c, _)| brightest(*c) > noise).map(|(_, n)| n).sum();
    let drawn = |n: u64| colours.len() <= 4 && n > 50 && n * 100 > coloured;
    let mut fields = std::collections::HashSet::new();
    let ids: Vec<u32> = pixels.iter().map(|&c| u32::from_le_bytes(c)).collect();
    let plane = Image { samples: Samples::U32(ids), components: 1, palette: None, ..image.clone_frame() };
    each_field(&plane, axis, |at| {
        fields.insert(pixels[at]);
    });
    let mut drawn_colours: Vec<[u8; 4]> = Vec::new();
    for &(colour, n) in &colours {
        if (drawn(n) || fields.contains(&colour)) && drawn_colours.iter().all(|&c| far(c, colour)) {
            drawn_colours.push(colour);
        }
    }
    drawn_colours.sort_by_key(|&c| brightest(c));
    let best = |contrast: [u8; 3]| {
        let most = contrast.into_iter().max().unwrap_or(0);
        contrast.iter().position(|&c| c.saturating_add(noise) >= most).unwrap_or(0)
    };
    let channel = match drawn_colours[..] {
        [background, object] if brightest(background) <= high / 4 => {
            best([0, 1, 2].map(|i| object[i].saturating_sub(background[i])))
        }
        [_, _] => return refuse("read as a single object, but has two colours, neither of them black"),
        [] | [_] => best([0, 1, 2].map(|i| colours.iter().map(|(c, _)| c[i]).max().unwrap_or(0))),
        _ => return refuse("read as a single object, but has several colours"),
    };
    let level = colours.iter().map(|(c, _)| c[channel]).max().unwrap_or(0) / 2;
    let lit = |of: &dyn Fn([u8; 4]) -> bool| colours.iter().filter(|(c, _)| of(*c)).map(|(_, n)| n).sum::<u64>();
    let inside = lit(&|c| c[channel] > level);
    let missed = lit(&|c| c[channel] <= level && brightest(c) > high / 2);
    // A mixture with black is never brighter than half of what the channel has less of.
    let clean = colours.len() <= FEW;
    if clean && missed > 0 || missed * 50 > inside {
        return refuse("read as a single object, but has several colours");
    }
    Ok(channel)
}

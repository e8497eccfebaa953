//! Whether what is written can be read: contrasts of the page's colours, as WCAG 2.2 computes them.

use std::collections::BTreeMap;

use super::STYLE;

/// Success criterion 1.4.3, for text.
const OF_TEXT: f64 = 4.5;
/// Success criterion 1.4.11, for signs and the edges of controls.
const OF_SIGNS: f64 = 3.0;

type Palette = BTreeMap<String, [f64; 3]>;

/// The colours by day, and those that are others by night.
fn palettes() -> [Palette; 2] {
    let blocks: Vec<Palette> = STYLE.split(":root {").skip(1).map(colours).collect();
    let [day, other, ..] = blocks.as_slice() else { panic!("two palettes") };
    let mut night = day.clone();
    night.extend(other.clone());
    [day.clone(), night]
}

fn colours(block: &str) -> Palette {
    let (block, _) = block.split_once('}').unwrap();
    let lines = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    let octet = |text: &str, at: usize| f64::from(u8::from_str_radix(&text[at..at + 2], 16).unwrap()) / 255.0;
    lines.map(|(name, rest)| (name.to_owned(), [octet(rest, 0), octet(rest, 2), octet(rest, 4)])).collect()
}

/// WCAG 2.2, "relative luminance".
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// WCAG 2.2, "contrast ratio".
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn the_ratio_is_that_of_the_book() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let grey = colours("--grey: #767676;}")["grey"];
    assert!((contrast(grey, [1.0; 3]) - 4.54).abs() < 0.01);
}

#[test]
fn every_colour_of_text_can_be_read_on_every_ground_by_day_and_by_night() {
    for palette in palettes() {
        for text in ["ink", "soft", "accent", "good", "warn", "bad", "idle"] {
            for ground in ["paper", "sheet"] {
                let ratio = contrast(palette[text], palette[ground]);
                assert!(ratio >= OF_TEXT, "{text} on {ground}: {ratio:.2}");
            }
        }
        // A button under the pointer, and the one that cannot be taken back.
        for (text, ground) in [("accent", "wash"), ("sheet", "bad")] {
            let ratio = contrast(palette[text], palette[ground]);
            assert!(ratio >= OF_TEXT, "{text} on {ground}: {ratio:.2}");
        }
        let ratio = contrast(palette["accent"], palette["wash"]);
        assert!(ratio >= OF_SIGNS, "the line over the area: {ratio:.2}");
    }
}

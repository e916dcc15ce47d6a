//! A chart as a list of shapes, painted by plotters as SVG and as PNG.
//!
//! Charts are laid out in their own units, 400 wide: a phone shows them nearly 1:1.

use super::palette::Ink;
use crate::report::ReportError;
use crate::report::wording::{one_line, printable};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::sync::Once;

/// Width of every chart.
pub const WIDTH: f64 = 400.0;

/// Backend pixels for one unit: both backends take whole pixels only.
const PIXELS: f64 = 2.0;

/// The generic family: a browser has its own, the PNG gets the bundled font under this name.
const FAMILY: &str = "sans-serif";

/// plotters centres bitmap text on its box and SVG text on its x-height; in em, what the former
/// stands too high.
const BITMAP_DROP: f64 = 0.13;

/// plotters divides a font's size by this to get the em of SVG text.
const SIZE_PER_EM: f64 = 1.24;

static REGULAR: &[u8] = include_bytes!("../font/DejaVuSansCondensed-subset.ttf");
static BOLD: &[u8] = include_bytes!("../font/DejaVuSansCondensed-Bold-subset.ttf");

/// Where a text stands about its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The point is its left end.
    Left,
    /// The point is its middle.
    Middle,
    /// The point is its right end.
    Right,
}

/// How big and heavy a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// The chart's title.
    Title,
    /// Names of things.
    Label,
    /// Axes, units and legends.
    Small,
}

impl Type {
    fn em(self) -> f64 {
        match self {
            Self::Title => 14.5,
            Self::Label => 13.0,
            Self::Small => 12.0,
        }
    }

    fn style(self) -> FontStyle {
        match self {
            Self::Title => FontStyle::Bold,
            Self::Label | Self::Small => FontStyle::Normal,
        }
    }
}

enum Shape {
    Rect {
        x: f64,
        y: f64,
        w: f64,
        h: f64,
        ink: Ink,
    },
    Line {
        points: Vec<(f64, f64)>,
        width: f64,
        ink: Ink,
    },
    Area {
        points: Vec<(f64, f64)>,
        ink: Ink,
    },
    Dot {
        x: f64,
        y: f64,
        r: f64,
        ink: Ink,
        filled: bool,
    },
    Text {
        text: String,
        x: f64,
        y: f64,
        kind: Type,
        align: Align,
        ink: Ink,
    },
}

/// A chart that is being laid out.
pub struct Picture {
    height: f64,
    shapes: Vec<Shape>,
}

impl Picture {
    /// An empty picture, [`WIDTH`] wide.
    pub fn new(height: f64) -> Self {
        Self {
            height,
            shapes: Vec::new(),
        }
    }

    /// A filled rectangle; a height or width below half a pixel is drawn as one pixel.
    pub fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, ink: Ink) {
        self.shapes.push(Shape::Rect { x, y, w, h, ink });
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], width: f64, ink: Ink) {
        self.shapes.push(Shape::Line {
            points: points.to_vec(),
            width,
            ink,
        });
    }

    /// A dashed line through points.
    pub fn dashes(&mut self, points: &[(f64, f64)], width: f64, ink: Ink) {
        const ON: f64 = 5.0;
        const PERIOD: f64 = 8.0;
        let mut travelled = 0.0;
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = ((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)).sqrt();
            if length == 0.0 {
                continue;
            }
            let at = |d: f64| (x0 + (x1 - x0) * d / length, y0 + (y1 - y0) * d / length);
            let mut start = -(travelled % PERIOD);
            while start < length {
                let (from, to) = (start.max(0.0), (start + ON).min(length));
                if to > from {
                    self.line(&[at(from), at(to)], width, ink);
                }
                start += PERIOD;
            }
            travelled += length;
        }
    }

    /// A filled polygon.
    pub fn area(&mut self, points: Vec<(f64, f64)>, ink: Ink) {
        self.shapes.push(Shape::Area { points, ink });
    }

    /// A point: filled, or a ring.
    pub fn dot(&mut self, x: f64, y: f64, ink: Ink, filled: bool) {
        if filled {
            self.shapes.push(Shape::Dot {
                x,
                y,
                r: 4.0,
                ink,
                filled: true,
            });
        } else {
            self.shapes.push(Shape::Dot {
                x,
                y,
                r: 4.0,
                ink,
                filled: true,
            });
            self.shapes.push(Shape::Dot {
                x,
                y,
                r: 2.5,
                ink: Ink::Paper,
                filled: true,
            });
        }
    }

    /// A diamond.
    pub fn diamond(&mut self, x: f64, y: f64, ink: Ink) {
        const R: f64 = 5.0;
        self.area(vec![(x, y - R), (x + R, y), (x, y + R), (x - R, y)], ink);
    }

    /// A horizontal interval with end caps.
    pub fn whisker_h(&mut self, x0: f64, x1: f64, y: f64, ink: Ink) {
        self.line(&[(x0, y), (x1, y)], 1.0, ink);
        for x in [x0, x1] {
            self.line(&[(x, y - 3.0), (x, y + 3.0)], 1.0, ink);
        }
    }

    /// A vertical interval with end caps.
    pub fn whisker_v(&mut self, x: f64, y0: f64, y1: f64, ink: Ink) {
        self.line(&[(x, y0), (x, y1)], 1.0, ink);
        for y in [y0, y1] {
            self.line(&[(x - 3.0, y), (x + 3.0, y)], 1.0, ink);
        }
    }

    /// A text whose middle line is `y`.
    pub fn text(
        &mut self,
        text: impl AsRef<str>,
        (x, y): (f64, f64),
        kind: Type,
        align: Align,
        ink: Ink,
    ) {
        let text = one_line(text.as_ref());
        self.shapes.push(Shape::Text {
            text,
            x,
            y,
            kind,
            align,
            ink,
        });
    }

    /// A text on a patch of background, where lines cross.
    pub fn note(&mut self, text: &str, x: f64, y: f64, ink: Ink) {
        self.rect(
            x - 2.0,
            y - 8.0,
            text_width(text, Type::Small) * 1.08 + 4.0,
            16.0,
            Ink::Paper,
        );
        self.text(text, (x, y), Type::Small, Align::Left, ink);
    }

    /// The chart as a whole SVG document, with its text alternative.
    pub fn svg(&self, name: &str, title: &str, description: &str) -> Result<String, ReportError> {
        let mut body = String::new();
        self.paint(
            &SVGBackend::with_string(&mut body, self.pixels()).into_drawing_area(),
            0.0,
        )
        .map_err(|reason| ReportError::chart(name, reason))?;
        let (w, h) = self.pixels();
        // plotters' own opening tag has no room for a text alternative.
        let shapes = body.find('\n').map_or("", |end| &body[end + 1..]);
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
             aria-labelledby=\"{name}-title {name}-desc\">\n\
             <title id=\"{name}-title\">{}</title>\n<desc id=\"{name}-desc\">{}</desc>\n{shapes}",
            escape(title),
            escape(description),
        ))
    }

    /// The chart as a PNG file.
    pub fn png(&self, name: &str) -> Result<Vec<u8>, ReportError> {
        let (w, h) = self.pixels();
        let mut pixels = vec![255; (w * h * 3) as usize];
        self.paint(
            &BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area(),
            BITMAP_DROP,
        )
        .map_err(|reason| ReportError::chart(name, reason))?;
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, w, h);
        encoder.set_color(png::ColorType::Rgb);
        // Flat areas: unfiltered bytes repeat, and deflate likes that best.
        encoder.set_filter(png::FilterType::NoFilter);
        encoder.set_compression(png::Compression::Best);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&pixels))
            .map_err(|e| ReportError::chart(name, e.to_string()))?;
        Ok(out)
    }

    fn pixels(&self) -> (u32, u32) {
        (
            (WIDTH * PIXELS) as u32,
            (self.height * PIXELS).ceil() as u32,
        )
    }

    fn paint<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        drop: f64,
    ) -> Result<(), String> {
        register_fonts();
        self.paint_shapes(area, drop).map_err(|e| e.to_string())
    }

    fn paint_shapes<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        drop: f64,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.fill(&Ink::Paper.rgb())?;
        let at = |(x, y): (f64, f64)| ((x * PIXELS).round() as i32, (y * PIXELS).round() as i32);
        for shape in &self.shapes {
            match shape {
                Shape::Rect { x, y, w, h, ink } => {
                    let ((x0, y0), (x1, y1)) = (at((*x, *y)), at((x + w, y + h)));
                    let corners = [(x0, y0), (x1.max(x0 + 1), y1.max(y0 + 1))];
                    area.draw(&Rectangle::new(corners, ink.rgb().filled()))?;
                }
                Shape::Line { points, width, ink } => {
                    let style = ink.rgb().stroke_width((width * PIXELS).round() as u32);
                    let points: Vec<_> = points.iter().map(|&p| at(p)).collect();
                    area.draw(&PathElement::new(points, style))?;
                }
                Shape::Area { points, ink } => {
                    let points: Vec<_> = points.iter().map(|&p| at(p)).collect();
                    area.draw(&Polygon::new(points, ink.rgb().filled()))?;
                }
                Shape::Dot {
                    x,
                    y,
                    r,
                    ink,
                    filled,
                } => {
                    let style = ShapeStyle {
                        color: ink.rgb().into(),
                        filled: *filled,
                        stroke_width: PIXELS as u32,
                    };
                    area.draw(&Circle::new(
                        at((*x, *y)),
                        (r * PIXELS).round() as i32,
                        style,
                    ))?;
                }
                Shape::Text {
                    text,
                    x,
                    y,
                    kind,
                    align,
                    ink,
                } => {
                    let h = match align {
                        Align::Left => HPos::Left,
                        Align::Middle => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    let rgb = ink.rgb();
                    let style = TextStyle::from(font(*kind))
                        .color(&rgb)
                        .pos(Pos::new(h, VPos::Center));
                    area.draw(&Text::new(
                        text.as_str(),
                        at((*x, y + drop * kind.em())),
                        style,
                    ))?;
                }
            }
        }
        area.present()
    }
}

fn font(kind: Type) -> FontDesc<'static> {
    FontDesc::new(
        FontFamily::Name(FAMILY),
        kind.em() * SIZE_PER_EM * PIXELS,
        kind.style(),
    )
}

fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, BOLD)] {
            // A font that does not load shows as an error of the first text painted.
            let _ = register_font(FAMILY, style, bytes);
        }
    });
}

/// Width of a text in the bundled font. A browser's own font may be a little wider: leave room.
pub fn text_width(text: &str, kind: Type) -> f64 {
    register_fonts();
    font(kind)
        .layout_box(text)
        .map_or(0.0, |((x0, _), (x1, _))| f64::from(x1 - x0) / PIXELS)
}

/// `text`, shortened with an ellipsis so that it fits in `width`, with room for a wider font.
pub fn fit(text: &str, width: f64, kind: Type) -> String {
    const ROOM: f64 = 1.12;
    let text = one_line(text);
    if text_width(&text, kind) * ROOM <= width {
        return text;
    }
    let chars: Vec<char> = text.chars().collect();
    let cut = |kept: usize| {
        let text = chars[..kept]
            .iter()
            .collect::<String>()
            .trim_end()
            .to_owned()
            + "…";
        (text_width(&text, kind) * ROOM <= width).then_some(text)
    };
    // The longest that fits, by halving: a hostile text may have millions of characters.
    let (mut fits, mut least, mut most) = (cut(0), 0, chars.len());
    while fits.is_some() && least + 1 < most {
        let middle = (least + most) / 2;
        match cut(middle) {
            Some(text) => (fits, least) = (Some(text), middle),
            None => most = middle,
        }
    }
    fits.unwrap_or_default()
}

/// Text as XML character data.
fn escape(text: &str) -> String {
    printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

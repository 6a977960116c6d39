//! `tests/fixtures/ice/Test.ice` as types of Rust, but for what this side is not to know.

use std::collections::BTreeMap;

use biomero_ice::Reference;
use biomero_ice::encoding::{Ref, Registry};
use bytes::Bytes;

biomero_ice::enumerations! {
    pub(super) enum Colour { Red = 0, Green = 7, Blue = 300 }
}

biomero_ice::structures! {
    pub(super) struct Point { pub(super) x: i32, pub(super) y: i32 }

    pub(super) struct Everything {
        pub(super) truth: bool,
        pub(super) octet: u8,
        pub(super) small: i16,
        pub(super) medium: i32,
        pub(super) large: i64,
        pub(super) rough: f32,
        pub(super) fine: f64,
        pub(super) text: String,
        pub(super) shade: Colour,
        pub(super) place: Point,
        pub(super) blob: Bytes,
        pub(super) truths: Vec<bool>,
        pub(super) samples: Vec<f64>,
        pub(super) names: Vec<String>,
        pub(super) places: Vec<Point>,
        pub(super) counts: BTreeMap<String, i32>,
        pub(super) colours: BTreeMap<i32, Colour>,
        pub(super) proxies: Vec<Option<Reference>>,
    }
}

biomero_ice::sliced! {
    pub(super) struct Shape = "::Test::Shape" {
        pub(super) name: String,
        pub(super) next: Option<Ref<Shape>>;
        pub(super) shade: Colour = 3,
        pub(super) note: String = 40,
    }

    pub(super) struct Circle: Shape = "::Test::Circle" (7) {
        pub(super) radius: f64,
        pub(super) friends: Vec<Option<Ref<Shape>>>,
    }

    pub(super) struct Ring: Circle = "::Test::Ring" {
        pub(super) hole: f64,
        pub(super) inner: Option<Ref<Circle>>;
        pub(super) place: Point = 1,
    }

    pub(super) struct Problem = "::Test::Problem" { pub(super) message: String }

    pub(super) struct ShapeProblem: Problem = "::Test::ShapeProblem" {
        pub(super) subject: Option<Ref<Shape>>;
        pub(super) count: i32 = 2,
    }
}

pub(super) fn registry() -> Registry {
    let mut registry = biomero_ice::clients::registry();
    registry.class::<Shape>().class::<Circle>().class::<Ring>();
    registry.exception::<Problem>().exception::<ShapeProblem>();
    registry
}

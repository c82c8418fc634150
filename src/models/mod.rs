//! Models that predict masks: SAM ([`sam`]) and a baseline without weights ([`otsu_box`](mod@otsu_box)), with what both
//! share: choosing among candidates ([`candidates`]) and simulated clicks ([`clicks`]).

pub mod candidates;
pub mod clicks;
pub mod otsu_box;
pub mod sam;

pub use candidates::{oracle_choice, score_choice, smoothed_dice};
pub use clicks::{Click, ClickChoice, ClickOptions, number_of_clicks, simulate_clicks};
pub use otsu_box::{OTSU_BOX, otsu_box};

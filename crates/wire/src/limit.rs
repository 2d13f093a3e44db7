//! Every limit of the decoders, by name.

/// Most bytes of a request body. The server stops reading here.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a request; the deepest request of the models is 3.
pub const DEPTH_MAX: usize = 16;
/// Most values (members, elements, and all inside them) of a request.
pub const VALUES_MAX: usize = 10_000;
/// Most parameters of a form.
pub const PARAMETERS_MAX: usize = 1_000;

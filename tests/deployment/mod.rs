//! Deployments as `examples/` have them, carried out as far as one machine allows: an image, a cluster's manifests, blue and green.

mod cluster;
mod colours;
mod image;

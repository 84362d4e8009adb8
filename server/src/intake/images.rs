//! The files that a request brings: read, bounded, and kept under their hashes.
//!
//! Invariant: no file is larger than what an instance is sent, and all together are bounded. Absent: which nodes take them; see the graph.

use bytes::Bytes;
use comfyd_adapters::comfy::ports::Blobs as _;
use comfyd_adapters::workflow::{Graph, Images as GraphImages};
use comfyd_engine::Upload;

use super::prepare::{Intake, MAX_IMAGE, bad_workflow, base_name, not_stored};
use super::{Image, Images};
use crate::problem::Problem;

const MAX_IMAGES: usize = 64;
const MAX_ALL_IMAGES: u64 = 512 << 20;

impl Intake {
    /// Keeps the files that a request brings, each for the node that takes it.
    pub(super) async fn uploads(&self, graph: &Graph, images: Images) -> Result<Vec<Upload>, Problem> {
        // Files are named by their number, as two may have one name.
        let (wanted, given): (GraphImages, Vec<Image>) = match images {
            Images::InOrder(images) => (GraphImages::List((0..images.len()).map(|n| n.to_string()).collect()), images),
            Images::ByNode(map) => {
                let nodes = map.keys().enumerate().map(|(n, node)| (node.clone(), n.to_string())).collect();
                (GraphImages::ByNode(nodes), map.into_values().collect())
            }
        };
        if given.is_empty() {
            return Ok(vec![]);
        }
        if given.len() > MAX_IMAGES {
            return Err(Problem::new(
                413,
                "too_many_images",
                format!("input_images: {} files", given.len()),
                format!("Send at most {MAX_IMAGES}."),
            ));
        }
        let assigned = graph.assign_images(&wanted).map_err(|error| bad_workflow(&error))?;
        let mut total = 0;
        let mut uploads = Vec::new();
        for assigned in assigned {
            let image = assigned.file.parse::<usize>().ok().and_then(|n| given.get(n));
            let image = image.ok_or_else(|| Problem::internal("an assigned image was not given"))?;
            let bytes = self.image_bytes(image).await?;
            total += bytes.len() as u64;
            if total > MAX_ALL_IMAGES {
                return Err(Problem::new(
                    413,
                    "images_too_large",
                    "input_images: more than 512 MiB in all",
                    "Send fewer or smaller files.",
                ));
            }
            let blob = self.vault.put(bytes).await.map_err(|error| not_stored("an input file", &error))?;
            uploads.push(Upload { blob, node: assigned.node, input: assigned.input, file_name: base_name(&name_of(image)) });
        }
        Ok(uploads)
    }

    async fn image_bytes(&self, image: &Image) -> Result<Bytes, Problem> {
        match image {
            Image::File(path) => self.read("input_images", path, MAX_IMAGE).await.map(Bytes::from),
            Image::Bytes { name, bytes } if bytes.len() as u64 > MAX_IMAGE => Err(Problem::new(
                413,
                "file_too_large",
                format!("input_images: {name} is larger than 64 MiB"),
                "Use a smaller file.",
            )),
            Image::Bytes { bytes, .. } => Ok(bytes.clone()),
        }
    }
}

fn name_of(image: &Image) -> String {
    match image {
        Image::File(path) => path.display().to_string(),
        Image::Bytes { name, .. } => name.clone(),
    }
}

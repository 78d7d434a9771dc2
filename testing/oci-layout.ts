import { createHash } from "node:crypto";

/** The media type of the manifest of one image. */
export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

/** The configuration of an image without layers. */
export const IMAGE_CONFIG = JSON.stringify({
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [] },
});

/** The digest of a content: `sha256:` and 64 hexadecimal digits. */
export function digestOf(content: string | Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

/**
 * The files of an OCI layout with one image: their content by their path in the layout.
 * @param name - the image's name with its tag
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export function layout(name: string): Record<string, string> {
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf(IMAGE_CONFIG),
      size: IMAGE_CONFIG.length,
    },
    layers: [],
    annotations: { "org.opencontainers.image.title": name },
  });
  const annotations = { "org.opencontainers.image.ref.name": name };
  const descriptor = { mediaType: MANIFEST_TYPE, digest: digestOf(manifest), size: manifest.length, annotations };
  const blob = (content: string) => `blobs/sha256/${digestOf(content).slice("sha256:".length)}`;
  return {
    "oci-layout": JSON.stringify({ imageLayoutVersion: "1.0.0" }),
    "index.json": JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }),
    [blob(manifest)]: manifest,
    [blob(IMAGE_CONFIG)]: IMAGE_CONFIG,
  };
}

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ImageFiles, isCompressed, openArchive, openLayout, type StoredFile } from "./image-files";
import type { Store } from "./store";

/** A repository: images of one name. */
export interface Repository {
  /** The digests of manifests and indexes, by tag. */
  readonly tags: Map<string, string>;
  /** The paths of all files, by digest. */
  readonly files: Map<string, string>;
}

/** Repositories by their full names: `registry.k8s.io/pause`. */
export type Repositories = Map<string, Repository>;

const TYPES = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  compressedLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

/** Annotations with an image's name, in an OCI layout's index. */
const NAME_ANNOTATIONS = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/**
 * Reads the images of a folder with docker archives, OCI archives and OCI layouts.
 * @param folder - the folder. If there is none, there are no images.
 * @param store - receives the content of archives and the manifests
 * @param log - receives a line for each entry that is not an image with a name
 */
export async function readImages(folder: string, store: Store, log: (line: string) => void): Promise<Repositories> {
  const repositories: Repositories = new Map();
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  for (const name of names) {
    const path = join(folder, name);
    try {
      const files = statSync(path).isDirectory() ? openLayout(path) : await openArchive(path, store);
      const images = readIndex(files) ?? readDockerManifest(files, store);
      if (!images)
        throw new Error("it has neither an index.json with full names of images, nor a manifest.json with tags");
      for (const image of images) addImage(repositories, image);
    } catch (error) {
      log(`images/${name} must be a docker archive or an OCI layout: ${(error as Error).message}`);
    }
  }
  return repositories;
}

/** The text that changes with the entries of a folder of images. */
export function stateOf(folder: string): string {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return JSON.stringify(
    names.map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return [name, size, mtimeMs];
    }),
  );
}

interface Image {
  readonly name: string;
  readonly digest: string;
  readonly files: readonly StoredFile[];
}

function addImage(repositories: Repositories, { name, digest, files }: Image): void {
  const [repository, tag] = splitName(name);
  const { tags, files: all } = repositories.get(repository) ?? { tags: new Map(), files: new Map() };
  repositories.set(repository, { tags, files: all });
  tags.set(tag, digest);
  for (const file of files) all.set(file.digest, file.path);
}

/** The repository and the tag of an image's name. Names without a registry are Docker Hub's. */
function splitName(name: string): readonly [string, string] {
  const [, repository, tag] = /^(.+?)(?::([^:/]+))?$/.exec(name) as unknown as [string, string, string?];
  const [first] = repository.split("/") as [string];
  const hasRegistry = repository.includes("/") && (/[.:]/.test(first) || first === "localhost");
  const path = repository.includes("/") ? repository : `library/${repository}`;
  return [hasRegistry ? repository : `docker.io/${path}`, tag ?? "latest"];
}

interface Index {
  readonly manifests: readonly { readonly digest: string; readonly annotations?: Readonly<Record<string, string>> }[];
}

/** The images of an OCI layout; undefined if it has no full name of an image. */
function readIndex(files: ImageFiles): Image[] | undefined {
  const index = readJson<Index>(files, "index.json");
  const blobs = [...files].filter(([name]) => name.startsWith("blobs/")).map(([, file]) => file);
  const images = index?.manifests.flatMap(({ digest, annotations = {} }) => {
    const name = NAME_ANNOTATIONS.map((key) => annotations[key]).find((value) => value?.includes("/"));
    return name ? [{ name, digest, files: blobs }] : [];
  });
  return images?.length ? images : undefined;
}

type DockerManifest = readonly {
  readonly Config: string;
  readonly RepoTags: readonly string[] | null;
  readonly Layers: readonly string[];
}[];

/** The images of a docker archive; undefined if it has none with a name. A manifest for each is added to the store. */
function readDockerManifest(files: ImageFiles, store: Store): Image[] | undefined {
  const images = readJson<DockerManifest>(files, "manifest.json")?.flatMap(({ Config, RepoTags, Layers }) => {
    const config = fileOf(files, Config);
    const layers = Layers.map((name) => fileOf(files, name));
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: TYPES.manifest,
      config: descriptor(TYPES.config, config),
      layers: layers.map((layer) => descriptor(isCompressed(layer.path) ? TYPES.compressedLayer : TYPES.layer, layer)),
    });
    const digest = store.add(manifest);
    const all = [config, ...layers, { digest, path: store.path(digest) }];
    return (RepoTags ?? []).map((name) => ({ name, digest, files: all }));
  });
  return images?.length ? images : undefined;
}

function descriptor(mediaType: string, { digest, path }: StoredFile): object {
  return { mediaType, digest, size: statSync(path).size };
}

function fileOf(files: ImageFiles, name: string): StoredFile {
  const file = files.get(name);
  if (!file) throw new Error(`it has no file ${name}`);
  return file;
}

function readJson<T>(files: ImageFiles, name: string): T | undefined {
  const file = files.get(name);
  return file && existsSync(file.path) ? JSON.parse(readFileSync(file.path, "utf8")) : undefined;
}

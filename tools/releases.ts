/** `npm run releases`: prints the sums of a version's release files and the digests of its images, as a file of checksums. */
import { type Checksums, IMAGE_NAMES, imageTag, type Release, releases } from "../kubernetes/releases";
import { holds, LIMITS, type Limit, mustBe } from "../model/formats";
import { UserError } from "../model/user-error";
import {
  COMPONENT_VERSION,
  COMPONENTS,
  type ComponentVersions,
  componentVersions,
  KUBERNETES_VERSION,
} from "../model/versions";
import { parseOptions, printJson, runProgram } from "./program";

/** The time that a host has for an answer, in seconds. */
const ANSWER_WAIT = 60;

/** The types of manifests that a registry may answer with: of all platforms, and of one. */
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

const USAGE = `npm run releases -- VERSION [options]    prints the SHA-256 sums of the release files that Kubernetes VERSION needs, and
                                         the digests of its images: JSON for the setting kubernetes.checksums

  npm run --silent releases -- 1.37.2 >checksums.json

  --component NAME=VERSION    another version of a component (${COMPONENTS.join(", ")}); can be repeated
  --downloads BASE            a mirror of the release hosts, as in the setting kubernetes.downloads
  --registry BASE             a mirror of the images' registry, as in the setting kubernetes.registryMirrors

The hosts serve the sums over TLS. A mirror serves its own sums: use one that you trust.`;

async function main(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = { component: { ...text, multiple: true }, downloads: text, registry: text } as const;
  const { positionals, values } = parseOptions(args, options, true);
  const [version, ...rest] = positionals;
  if (version === undefined || rest.length > 0) {
    throw new UserError(mustBe("VERSION", KUBERNETES_VERSION.allowed, positionals.join(" ") || undefined));
  }
  check("VERSION", KUBERNETES_VERSION, version);
  for (const option of ["downloads", "registry"] as const) check(`--${option}`, LIMITS.baseAddress, values[option]);
  const versions = componentVersions({ version, components: chosenVersions(values.component ?? []) });
  printJson(await checksums(versions, values));
  return 0;
}

/** Refuses a value of another format. */
function check(name: string, limit: Limit, value: string | undefined): void {
  if (value !== undefined && !holds(limit, value)) throw new UserError(mustBe(name, limit.allowed, value));
}

/** The versions in the values of `--component`. */
function chosenVersions(values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    values.map((value) => {
      const [name = "", version = ""] = value.split(/=(.*)/s);
      if (!COMPONENTS.some((component) => component === name)) {
        throw new UserError(mustBe("--component", `NAME=VERSION with one of ${COMPONENTS.join(", ")}`, value));
      }
      check(`--component ${name}`, COMPONENT_VERSION, version);
      return [name, version] as const;
    }),
  );
}

/**
 * The sums of all release files, and the digests of all images.
 * @throws UserError with a line for each that is missing
 */
async function checksums(
  versions: ComponentVersions,
  { downloads, registry }: { readonly downloads?: string; readonly registry?: string },
): Promise<Checksums> {
  const files = (["master", "worker"] as const).flatMap((role) => releases(role, versions, { downloads }));
  const entries = await Promise.allSettled([
    ...unique(files).map(async (release) => [release.path, await publishedSum(release)] as const),
    ...IMAGE_NAMES.map((name) => imageTag(name, versions)).map(
      async (tag) => [tag, await publishedDigest(tag, registry)] as const,
    ),
  ]);
  const problems = entries.flatMap((entry) => (entry.status === "rejected" ? [entry.reason as Error] : []));
  const unexpected = problems.find((problem) => !(problem instanceof UserError));
  if (unexpected !== undefined) throw unexpected;
  if (problems.length > 0) throw new UserError(...problems.map(({ message }) => message));
  return Object.fromEntries(entries.flatMap((entry) => (entry.status === "fulfilled" ? [entry.value] : [])));
}

/** Releases without those that have the same file: both roles have kubectl. */
function unique(all: readonly Release[]): readonly Release[] {
  return [...new Map(all.map((release) => [release.path, release])).values()];
}

/** The sum that is published for a release file. The file of sums has only the sum, or lines of a sum and a file's name. */
async function publishedSum({ path, sumUrl }: Release): Promise<string> {
  const file = path.split("/").at(-1) as string;
  const lines = (await ask(sumUrl)).text.split("\n").map((line) => line.trim().split(/\s+[*]?/));
  const sums = lines.filter(([sum = ""]) => holds(LIMITS.sum, sum));
  const [sum] = sums.find(([, name]) => name === file) ?? sums.find((fields) => fields.length === 1) ?? [];
  if (sum === undefined) throw new UserError(`${sumUrl} has no SHA-256 of ${file}`);
  return sum;
}

/**
 * The digest of an image at its registry, or at a mirror of it.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#checking-if-content-exists-in-the-registry
 */
async function publishedDigest(tag: string, mirror: string | undefined): Promise<string> {
  const [, host, name, reference] = /^([^/]+)\/(.+):(.+)$/.exec(tag) as unknown as [string, string, string, string];
  const path = `v2/${name}/manifests/${reference}`;
  // The parameter is the one with which containerd asks a mirror.
  const url = mirror === undefined ? `https://${host}/${path}` : `${mirror}/${path}?ns=${host}`;
  const { headers } = await ask(url, { method: "HEAD", headers: { accept: MANIFEST_TYPES.join(", ") } });
  const digest = headers.get("docker-content-digest") ?? "";
  if (!holds(LIMITS.digest, digest)) throw new UserError(`${url} has no digest of ${tag}`);
  return digest;
}

/** A host's answer to a request, after redirects. @throws UserError without a successful answer */
async function ask(
  url: string,
  request: RequestInit = {},
): Promise<{ readonly headers: Headers; readonly text: string }> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(ANSWER_WAIT * 1000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return { headers: response.headers, text: await response.text() };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: Error };
    throw new UserError(`${url} cannot be read: ${cause?.message ?? message}`);
  }
}

runProgram({ name: "releases", usage: USAGE, main });

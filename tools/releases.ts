/**
 * `npm run releases`: prints the sums of a version's release files and the digests of its images, as a file of checksums; or the
 * addresses of the files.
 */
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
import { parseOptions, print, printJson, runProgram } from "./program";
import { ask, askManifest, successful } from "./registry";

const USAGE = `npm run releases -- VERSION [options]    prints the SHA-256 sums of the release files that Kubernetes VERSION needs, and
                                         the digests of its images: JSON for the setting kubernetes.checksums

  npm run --silent releases -- 1.37.2 >checksums.json

  --urls                      prints the addresses of the files, and of the files with their sums, instead
  --component NAME=VERSION    another version of a component (${COMPONENTS.join(", ")}); can be repeated
  --downloads BASE            a mirror of the release hosts, as in the setting kubernetes.downloads
  --registry BASE             a mirror of the images' registry, as in the setting kubernetes.registryMirrors

The hosts serve the sums over TLS. A mirror serves its own sums: use one that you trust.`;

async function main(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = {
    component: { ...text, multiple: true },
    downloads: text,
    registry: text,
    urls: { type: "boolean" },
  } as const;
  const { positionals, values } = parseOptions(args, options, true);
  const [version, ...rest] = positionals;
  if (version === undefined || rest.length > 0) {
    throw new UserError(mustBe("VERSION", KUBERNETES_VERSION.allowed, positionals.join(" ") || undefined));
  }
  check("VERSION", KUBERNETES_VERSION, version);
  for (const option of ["downloads", "registry"] as const) check(`--${option}`, LIMITS.baseAddress, values[option]);
  const versions = componentVersions({ version, components: chosenVersions(values.component ?? []) });
  if (values.urls) for (const url of addresses(versions, values)) print(url);
  else printJson(await checksums(versions, values));
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
  const entries = await Promise.allSettled([
    ...files(versions, downloads).map(async (release) => [release.path, await publishedSum(release)] as const),
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

/** The release files of all machines. Both roles have kubectl: it is there once. */
function files(versions: ComponentVersions, downloads: string | undefined): readonly Release[] {
  const all = (["master", "worker"] as const).flatMap((role) => releases(role, versions, { downloads }));
  return [...new Map(all.map((release) => [release.path, release])).values()];
}

/** The addresses of all release files, and of the files with their sums. */
function addresses(versions: ComponentVersions, { downloads }: { readonly downloads?: string }): readonly string[] {
  return [...new Set(files(versions, downloads).flatMap(({ url, sumUrl }) => [url, sumUrl]))];
}

/** The sum that is published for a release file. The file of sums has only the sum, or lines of a sum and a file's name. */
async function publishedSum({ path, sumUrl }: Release): Promise<string> {
  const file = path.split("/").at(-1) as string;
  const lines = successful(await ask(sumUrl))
    .text.split("\n")
    .map((line) => line.trim().split(/\s+[*]?/));
  const sums = lines.filter(([sum = ""]) => holds(LIMITS.sum, sum));
  const [sum] = sums.find(([, name]) => name === file) ?? sums.find((fields) => fields.length === 1) ?? [];
  if (sum === undefined) throw new UserError(`${sumUrl} has no SHA-256 of ${file}`);
  return sum;
}

/** The digest of an image at its registry, or at a mirror of it. */
async function publishedDigest(tag: string, mirror: string | undefined): Promise<string> {
  const { url, headers } = successful(await askManifest(tag, mirror));
  const digest = headers.get("docker-content-digest") ?? "";
  if (!holds(LIMITS.digest, digest)) throw new UserError(`${url} has no digest of ${tag}`);
  return digest;
}

runProgram({ name: "releases", usage: USAGE, main });

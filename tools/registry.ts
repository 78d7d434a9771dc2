import { UserError } from "../model/user-error";

/** The time that a host has for an answer, in seconds. */
const ANSWER_WAIT = 60;

/** The types of manifests that a registry may answer with: of all platforms, and of one. */
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** The answer of a host to a request. */
export interface Answer {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A host's answer to a request, after redirects. @throws UserError if it is not complete within a minute */
export async function ask(url: string, request: RequestInit = {}): Promise<Answer> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(ANSWER_WAIT * 1000) });
    return { url, status: response.status, headers: response.headers, text: await response.text() };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: Error };
    throw unreadable(url, cause?.message ?? message);
  }
}

/** The answer of a host that succeeds. @throws UserError if it does not */
export function successful(answer: Answer): Answer {
  if (answer.status !== 200) throw unreadable(answer.url, `status ${answer.status}`);
  return answer;
}

function unreadable(url: string, reason: string): UserError {
  return new UserError(`${url} cannot be read: ${reason}`);
}

/**
 * Asks an image's registry, or a mirror of it, for the image's manifest.
 * @param tag - the image, such as `registry.k8s.io/pause:3.10.2`
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#checking-if-content-exists-in-the-registry
 */
export function askManifest(tag: string, mirror?: string): Promise<Answer> {
  const [, host, name, reference] = /^([^/]+)\/(.+):(.+)$/.exec(tag) as unknown as [string, string, string, string];
  const path = `v2/${name}/manifests/${reference}`;
  // The parameter is the one with which containerd asks a mirror.
  const url = mirror === undefined ? `https://${host}/${path}` : `${mirror}/${path}?ns=${host}`;
  return ask(url, { method: "HEAD", headers: { accept: MANIFEST_TYPES.join(", ") } });
}

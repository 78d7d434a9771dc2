import { readFileSync, realpathSync, statSync } from "node:fs";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import { join, sep } from "node:path";
import send from "send";
import { type Repositories, type Repository, readImages, stateOf } from "./images";
import { openStore } from "./store";

/** The properties of {@link createMirror}. */
export interface MirrorFolders {
  /** The folder with HOST/PATH for each file, and `images`. */
  readonly folder: string;
  /** The folder for the content of archives with images. */
  readonly cache: string;
  /** Receives a line for each request that finds nothing, and for each entry of `images` that is not an image. */
  readonly log: (line: string) => void;
}

/** The first part of the paths to which files are redirected. */
const STORAGE = "/storage/";

/** Creates a server of release files and of images, by the OCI distribution protocol. */
export function createMirror({ folder, cache, log }: MirrorFolders): http.Server {
  const root = realpathSync(folder);
  const images = openImages(join(root, "images"), cache, log);

  return http.createServer(async (request, response) => {
    try {
      await answer(request, response);
    } catch (error) {
      log(`${request.method} ${request.url}: ${(error as Error).message}`);
      if (response.headersSent) response.destroy();
      else end(response, 500, "the mirror failed: its log has the reason");
    }
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      end(response, 405, `method must be GET or HEAD, got ${request.method}`, { allow: "GET, HEAD" });
      return;
    }
    const [path, query] = (request.url as string).split("?", 2) as [string, string?];
    if (/^\/v2(\/|$)/.test(path)) return answerImages(request, response, path, new URLSearchParams(query).get("ns"));
    const inStorage = path.startsWith(STORAGE);
    const name = inStorage ? path.slice(STORAGE.length) : path.slice(1);
    const file = findFile(root, name);
    if (!file) return notFound(response, `the mirror has no file ${name}`);
    if (inStorage) return sendFile(request, response, file);
    end(response, 302, "", { location: STORAGE + name });
  }

  async function answerImages(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    registry: string | null,
  ): Promise<void> {
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    const [, name, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(path) ?? [];
    if (!name || !reference) {
      if (path === "/v2/" || path === "/v2") sendJson(request, response, {});
      else notFoundImage(request, response, "NAME_UNKNOWN", `the mirror has no image ${path}`);
      return;
    }
    const repositories = await images();
    const repository = repositories.get(`${registry}/${name}`) ?? repositories.get(name);
    const answers: Record<string, (repository: Repository) => boolean> = {
      manifests: ({ tags, files }) => {
        const digest = tags.get(reference) ?? reference;
        const file = files.get(digest);
        const content = file && smallFile(file);
        if (!content) return false;
        const { mediaType, manifests } = JSON.parse(content);
        const type = mediaType ?? `application/vnd.oci.image.${manifests ? "index" : "manifest"}.v1+json`;
        sendText(request, response, content, { "content-type": type, "docker-content-digest": digest });
        return true;
      },
      blobs: ({ files }) => {
        const file = files.get(reference);
        if (!file) return false;
        response.setHeader("docker-content-digest", reference);
        sendFile(request, response, file);
        return true;
      },
      tags: ({ tags }) => {
        if (reference !== "list") return false;
        sendJson(request, response, { name, tags: [...tags.keys()].sort() });
        return true;
      },
    };
    if (repository && answers[kind as string]?.(repository)) return;
    const code = repository ? UNKNOWN[kind as keyof typeof UNKNOWN] : "NAME_UNKNOWN";
    notFoundImage(
      request,
      response,
      code,
      `the mirror has no ${kind} ${reference} of ${registry ? `${registry}/` : ""}${name}`,
    );
  }

  function notFound(response: ServerResponse, message: string): void {
    log(message);
    end(response, 404, message);
  }

  function notFoundImage(request: IncomingMessage, response: ServerResponse, code: string, message: string): void {
    log(message);
    response.statusCode = 404;
    sendJson(request, response, { errors: [{ code, message }] });
  }
}

/** The protocol's codes for an unknown reference. */
const UNKNOWN = { manifests: "MANIFEST_UNKNOWN", blobs: "BLOB_UNKNOWN", tags: "NAME_UNKNOWN" };

/** The greatest size of a manifest, in bytes. Registries refuse larger ones. */
const MAX_MANIFEST = 4 * 2 ** 20;

/** Returns a function that reads the images at its first call, and again after a change of the folder. */
function openImages(folder: string, cache: string, log: (line: string) => void): () => Promise<Repositories> {
  const store = openStore(cache);
  let known: { readonly state: string; readonly repositories: Promise<Repositories> } | undefined;
  return () => {
    const state = stateOf(folder);
    if (known?.state !== state) known = { state, repositories: readImages(folder, store, log) };
    return known.repositories;
  };
}

/** The path of a file inside of a folder, also after all links; undefined if there is none. */
function findFile(root: string, name: string): string | undefined {
  try {
    const path = realpathSync(join(root, decodeURIComponent(name)));
    return path.startsWith(root + sep) && statSync(path).isFile() ? path : undefined;
  } catch {
    return undefined;
  }
}

function smallFile(path: string): string | undefined {
  return statSync(path).size <= MAX_MANIFEST ? readFileSync(path, "utf8") : undefined;
}

function sendFile(request: IncomingMessage, response: ServerResponse, path: string): void {
  const encoded = path.split(sep).map(encodeURIComponent).join("/");
  send(request, encoded, { root: sep, dotfiles: "allow", cacheControl: false, index: false })
    .on("error", ({ status }) => end(response, status, `the mirror cannot send the file (${status})`))
    .pipe(response);
}

function sendJson(request: IncomingMessage, response: ServerResponse, content: object): void {
  sendText(request, response, JSON.stringify(content), { "content-type": "application/json" });
}

function sendText(
  { method }: IncomingMessage,
  response: ServerResponse,
  content: string,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(response.statusCode, { ...headers, "content-length": Buffer.byteLength(content) });
  response.end(method === "HEAD" ? undefined : content);
}

/** Ends a response with a line of text. */
function end(
  response: ServerResponse,
  status: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const content = line && `${line}\n`;
  response.writeHead(status, {
    "content-type": "text/plain",
    "content-length": Buffer.byteLength(content),
    ...headers,
  });
  response.end(content);
}

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { Mirror } from "../../cloud/mirror/mirror";
import { until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { digestOf, IMAGE_CONFIG, layout, MANIFEST_TYPE } from "../../testing/oci-layout";

const KUBELET = "dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet";

const plainLayer = Buffer.alloc(2048, "plain");
const compressedLayer = gzipSync("a compressed layer");

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** An archive. @param files - the content of each file, or its target if it is a link: `-> TARGET` */
async function archive(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const entries = pack();
  for (const [name, content] of Object.entries(files)) {
    const [, linkname] = /^-> (.*)/.exec(String(content)) ?? [];
    if (linkname) entries.entry({ name, type: "symlink", linkname });
    else entries.entry({ name }, content);
  }
  entries.finalize();
  return buffer(entries);
}

/** A docker archive with two images: one with a plain layer, twice, and one with a compressed layer. */
function dockerArchive(): Promise<Buffer> {
  const pause = {
    Config: "config.json",
    RepoTags: ["registry.k8s.io/pause:3.10.2"],
    Layers: ["a/layer.tar", "b/layer.tar"],
  };
  const busybox = { Config: "config.json", RepoTags: ["busybox:1.37"], Layers: ["c/layer.tar"] };
  return archive({
    "a/layer.tar": plainLayer,
    "b/layer.tar": "-> ../a/layer.tar",
    "c/layer.tar": compressedLayer,
    "config.json": IMAGE_CONFIG,
    "manifest.json": JSON.stringify([pause, busybox]),
  });
}

describeSuite("a mirror in the network of the emulated cloud", () => {
  const log: string[] = [];
  let scratch: string;
  let folder: string;
  let cache: string;
  let mirror: Mirror;

  function write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }

  function start(): Promise<Mirror> {
    const namespace = `/proc/${process.pid}/ns/net`;
    return Mirror.start({ namespace, address: "127.0.0.1", port: 0, folder, cache, log: (line) => log.push(line) });
  }

  /** Sends a request as it is: without redirects, and without a change of the path. */
  function ask(path: string, { method = "GET", headers = {} } = {}): Promise<Answer> {
    const { hostname, port } = new URL(mirror.url);
    return new Promise((resolve, reject) => {
      request({ hostname, port, path, method, headers, agent: false }, async (response) => {
        const body = String(await buffer(response));
        resolve({ status: response.statusCode as number, headers: response.headers, body });
      })
        .on("error", reject)
        .end();
    });
  }

  async function follow(path: string, options: Parameters<typeof ask>[1] = {}): Promise<Answer> {
    const { headers } = await ask(path);
    return ask(headers.location as string, options);
  }

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "mirror-"));
    [folder, cache] = [join(scratch, "mirror"), join(scratch, "cache")];
    write(KUBELET, "0123456789");
    write(`${KUBELET}.sha256`, "abc");
    write("github.com/a/b/releases/download/v1/name with 100% & ü?.tgz", "special");
    writeFileSync(join(scratch, "secret"), "secret");
    symlinkSync("../../secret", join(folder, "dl.k8s.io/link"));
    symlinkSync("kubelet", join(folder, `${KUBELET}-link`));
    write("images/docker.tar", await dockerArchive());
    write("images/oci.tar.gz", gzipSync(await archive(layout("registry.k8s.io/coredns/coredns:v1.15.0"))));
    for (const [name, content] of Object.entries(layout("registry.k8s.io/folder:1")))
      write(`images/oci/${name}`, content);
    write("images/notes.txt", "not an image");
    mirror = await start();
  });

  afterAll(async () => {
    await mirror?.close();
    rmSync(scratch, { recursive: true });
  });

  test("a file is redirected, as at the release hosts, to a path that has it", async () => {
    const first = await ask(`/${KUBELET}`);
    expect(first).toMatchObject({ status: 302, body: "" });
    const file = await ask(first.headers.location as string);
    expect(file).toMatchObject({ status: 200, body: "0123456789", headers: { "content-length": "10" } });
    expect((await follow(`/${KUBELET}.sha256?query`)).body).toBe("abc");
    expect((await follow(`/${KUBELET}-link`)).body).toBe("0123456789");
    const special = encodeURIComponent("name with 100% & ü?.tgz");
    expect((await follow(`/github.com/a/b/releases/download/v1/${special}`)).body).toBe("special");
  });

  test("HEAD has the length and no content", async () => {
    expect(await ask(`/${KUBELET}`, { method: "HEAD" })).toMatchObject({ status: 302, body: "" });
    const file = await follow(`/${KUBELET}`, { method: "HEAD" });
    expect(file).toMatchObject({ status: 200, body: "", headers: { "content-length": "10" } });
  });

  test.each([
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=-1", 206, "9", "bytes 9-9/10"],
    ["bytes=10-", 416, expect.any(String), "bytes */10"],
  ])("a part of a file: %s", async (range, status, body, contentRange) => {
    const part = await follow(`/${KUBELET}`, { headers: { range } });
    expect(part).toMatchObject({ status, body, headers: { "content-range": contentRange } });
  });

  test.each([
    "dl.k8s.io/v1.37.3/bin/linux/amd64/kubelet",
    "dl.k8s.io/v1.37.2",
    "dl.k8s.io/../../secret",
    "..%2fsecret",
    "dl.k8s.io/%2e%2e/%2e%2e/secret",
    "dl.k8s.io/link",
    "dl.k8s.io/%00",
    "dl.k8s.io/%",
    "storage/..%2fsecret",
    "storage/dl.k8s.io/link",
  ])("404 in one line, also in the log: %s", async (path) => {
    const { status, body } = await ask(`/${path}`);
    const line = `the mirror has no file ${path.replace(/^storage\//, "")}`;
    expect({ status, body }).toEqual({ status: 404, body: `${line}\n` });
    await until(() => log.includes(line), { what: () => log.join("\n") });
  });

  test("other methods are refused", async () => {
    expect(await ask(`/${KUBELET}`, { method: "POST" })).toMatchObject({
      status: 405,
      body: "method must be GET or HEAD, got POST\n",
    });
  });

  test("the registry answers that it is one", async () => {
    expect(await ask("/v2/")).toMatchObject({
      status: 200,
      headers: { "docker-distribution-api-version": "registry/2.0" },
    });
  });

  test.each([
    ["as containerd asks a mirror", "/v2/pause", "?ns=registry.k8s.io"],
    ["with the registry in the name", "/v2/registry.k8s.io/pause", ""],
    ["with both", "/v2/registry.k8s.io/pause", "?ns=registry.k8s.io"],
  ])("an image of a docker archive: %s", async (_, path, query) => {
    const manifest = await ask(`${path}/manifests/3.10.2${query}`);
    const digest = digestOf(manifest.body);
    expect(manifest).toMatchObject({
      status: 200,
      headers: { "content-type": MANIFEST_TYPE, "docker-content-digest": digest },
    });
    const layer = {
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: digestOf(plainLayer),
      size: plainLayer.length,
    };
    expect(JSON.parse(manifest.body)).toEqual({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: digestOf(IMAGE_CONFIG),
        size: IMAGE_CONFIG.length,
      },
      layers: [layer, layer],
    });
    expect((await ask(`${path}/manifests/${digest}${query}`)).body).toBe(manifest.body);
    expect(await ask(`${path}/manifests/3.10.2${query}`, { method: "HEAD" })).toMatchObject({
      status: 200,
      body: "",
      headers: { "docker-content-digest": digest, "content-length": String(manifest.body.length) },
    });
    for (const content of [IMAGE_CONFIG, plainLayer]) {
      const blob = await ask(`${path}/blobs/${digestOf(content)}${query}`);
      expect(blob).toMatchObject({ status: 200, headers: { "docker-content-digest": digestOf(content) } });
      expect(digestOf(blob.body)).toBe(digestOf(content));
    }
    const headers = { range: "bytes=1-3" };
    expect(await ask(`${path}/blobs/${digestOf(plainLayer)}${query}`, { headers })).toMatchObject({
      status: 206,
      body: "lai",
    });
    expect((await ask(`${path}/tags/list${query}`)).body).toContain('"tags":["3.10.2"]');
  });

  test("a name without a registry is Docker Hub's, and a compressed layer is described as one", async () => {
    const { body } = await ask("/v2/library/busybox/manifests/1.37?ns=docker.io");
    expect(JSON.parse(body).layers).toEqual([
      {
        mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
        digest: digestOf(compressedLayer),
        size: compressedLayer.length,
      },
    ]);
  });

  test.each([
    ["a compressed archive", "coredns/coredns", "v1.15.0"],
    ["a folder", "folder", "1"],
  ])("an image of an OCI layout in %s", async (_, name, tag) => {
    const { body } = await ask(`/v2/${name}/manifests/${tag}?ns=registry.k8s.io`);
    const blob = JSON.parse(body).config.digest;
    expect((await ask(`/v2/${name}/blobs/${blob}?ns=registry.k8s.io`)).body).toBe(IMAGE_CONFIG);
  });

  test.each([
    ["other/manifests/1", "NAME_UNKNOWN"],
    ["pause/manifests/3.9", "MANIFEST_UNKNOWN"],
    [`pause/manifests/${digestOf("other")}`, "MANIFEST_UNKNOWN"],
    [`pause/blobs/${digestOf(compressedLayer)}`, "BLOB_UNKNOWN"],
    ["pause/other/1", "NAME_UNKNOWN"],
  ])("an error of the protocol: %s", async (path, code) => {
    const { status, body } = await ask(`/v2/${path}?ns=registry.k8s.io`);
    expect(status).toBe(404);
    expect(JSON.parse(body).errors).toEqual([{ code, message: expect.stringContaining("the mirror has no ") }]);
  });

  test("a file in images that is none is a line in the log", async () => {
    await ask("/v2/pause/manifests/3.10.2?ns=registry.k8s.io");
    const line = "images/notes.txt must be a docker archive or an OCI layout: ";
    await until(() => log.some((text) => text.startsWith(line)), { what: () => log.join("\n") });
  });

  test("a new archive is used without a start", async () => {
    expect((await ask("/v2/new/manifests/1?ns=example.com")).status).toBe(404);
    write("images/new.tar", await archive(layout("example.com/new:1")));
    expect((await ask("/v2/new/manifests/1?ns=example.com")).status).toBe(200);
  });

  test("the next start has the same digests, and unpacks nothing again", async () => {
    const digests = async () =>
      Promise.all(
        ["pause/manifests/3.10.2", "coredns/coredns/manifests/v1.15.0"].map(
          async (path) => (await ask(`/v2/${path}?ns=registry.k8s.io`)).headers["docker-content-digest"],
        ),
      );
    const before = await digests();
    const layer = join(cache, digestOf(plainLayer).slice("sha256:".length));
    utimesSync(layer, 1, 1);
    await mirror.close();
    mirror = await start();
    expect(await digests()).toEqual(before);
    expect(statSync(layer).mtimeMs).toBe(1000);
    expect(readdirSync(cache).filter((name) => name.startsWith("temporary"))).toEqual([]);
  });

  test("the folder must be one, and the port free", async () => {
    const port = Number(new URL(mirror.url).port);
    const props = {
      namespace: `/proc/${process.pid}/ns/net`,
      address: "127.0.0.1",
      port,
      folder,
      cache,
      log: () => {},
    };
    await expect(Mirror.start(props)).rejects.toThrow("EADDRINUSE");
    await expect(Mirror.start({ ...props, folder: join(scratch, "secret") })).rejects.toThrow(
      `mirror must be a folder with HOST/PATH for each file, got "${join(scratch, "secret")}"`,
    );
  });
});

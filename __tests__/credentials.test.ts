import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";
import { credentialFiles } from "../credentials/files";
import { writeFolder } from "../credentials/folder";
import { CredentialsError } from "../credentials/stack";
import { deployedCluster, outputsOf } from "../testing/deployed-cluster";
import { AWS_ATTRIBUTES, issueDefaultCluster } from "../testing/issued-cluster";
import { describeSuite } from "../testing/requirements";
import { synthesizeCluster } from "../testing/synthesize";
import { type Computed, carryOutTls } from "../testing/tls-resources";
import { TUTORIAL_NAME } from "../testing/tutorial";

const PROJECT = join(__dirname, "..");
const json = synthesizeCluster();
let computed: Computed;
let files: Record<string, string>;
let scratch: string;

beforeAll(async () => {
  computed = await issueDefaultCluster(json);
  files = credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, computed)));
});

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "credentials-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
const out = () => join(scratch, "out");
const paths = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort();

describe("the files", () => {
  const name = (index: number) => `${TUTORIAL_NAME}-worker-${index}`;
  const loadBalancer = `https://${AWS_ATTRIBUTES["aws_lb.load-balancer"]?.dns_name}:6443`;
  const here = "https://127.0.0.1:6443";

  test("are where part 2 looks for them, and no others", () => {
    const stems = [
      ...[
        "ca",
        "admin",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "master-kubernetes",
        "service-account",
      ],
      ...[0, 1, 2].map(name),
    ];
    const users = stems.filter((stem) => !["ca", "master-kubernetes", "service-account"].includes(stem));
    expect(Object.keys(files).sort()).toEqual(
      [
        ".gitignore",
        "cluster.json",
        "encryption-config.yaml",
        `ssh/${TUTORIAL_NAME}.id_rsa`,
        ...stems.flatMap((stem) => [`ca-authority/${stem}.pem`, `ca-authority/${stem}-key.pem`]),
        ...users.map((stem) => `kubeconfigs/${stem}.kubeconfig`),
      ].sort(),
    );
  });

  test.each([
    ["admin", "admin", loadBalancer],
    ["kube-proxy", "system:kube-proxy", loadBalancer],
    ["kube-controller-manager", "system:kube-controller-manager", here],
    ["kube-scheduler", "system:kube-scheduler", here],
    [name(0), "system:node:ip-172-31-0-20", loadBalancer],
    [name(2), "system:node:ip-172-31-0-22", loadBalancer],
  ])("the kubeconfig of %s: user, server, embedded certificates", (stem, user, server) => {
    const data = (file: string) => Buffer.from(files[`ca-authority/${file}`] as string).toString("base64");
    expect(parse(files[`kubeconfigs/${stem}.kubeconfig`] as string)).toEqual({
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [{ name: TUTORIAL_NAME, cluster: { server, "certificate-authority-data": data("ca.pem") } }],
      contexts: [{ name: "default", context: { cluster: TUTORIAL_NAME, user } }],
      "current-context": "default",
      users: [
        {
          name: user,
          user: { "client-certificate-data": data(`${stem}.pem`), "client-key-data": data(`${stem}-key.pem`) },
        },
      ],
    });
  });

  test.each(["2024", "no", "1e3", "null"])("a cluster's name stays a text in YAML: %s", (name) => {
    const outputs = outputsOf(json, computed);
    const config = parse(credentialFiles(deployedCluster(name, outputs))["kubeconfigs/admin.kubeconfig"] as string);
    expect(config.clusters[0].name).toBe(name);
    expect(config.contexts[0].context).toEqual({ cluster: name, user: "admin" });
  });

  test("the encryption config encrypts secrets with the key of the state, and still reads what is not encrypted", () => {
    const config = parse(files["encryption-config.yaml"] as string);
    const secret = outputsOf(json, computed).encryption_key as string;
    const digest = createHash("sha256").update(secret).digest("hex");
    expect(config).toEqual({
      apiVersion: "apiserver.config.k8s.io/v1",
      kind: "EncryptionConfiguration",
      resources: [
        {
          resources: ["secrets"],
          providers: [{ aescbc: { keys: [{ name: `key-${digest.slice(0, 8)}`, secret }] } }, { identity: {} }],
        },
      ],
    });
    expect(Buffer.from(secret, "base64")).toHaveLength(32);
  });
});

describe("writing them", () => {
  const NOTHING = { written: [], kept: [], removed: [], others: [] };

  test("folders are 0700 and files 0600, whatever the umask; nothing else is left", () => {
    const umask = process.umask(0);
    try {
      expect(writeFolder(out(), files, false)).toEqual({ ...NOTHING, written: Object.keys(files), unchanged: 0 });
    } finally {
      process.umask(umask);
    }
    expect(paths(out())).toEqual(Object.keys(files).sort());
    for (const path of paths(out())) expect(mode(join(out(), path))).toBe("600");
    for (const folder of ["", "ssh", "ca-authority", "kubeconfigs"]) expect(mode(join(out(), folder))).toBe("700");
  });

  test("again, it touches nothing; a certificate that was renewed is updated alone", () => {
    writeFolder(out(), files, false);
    const touched = () => Object.fromEntries(paths(out()).map((path) => [path, statSync(join(out(), path)).ino]));
    const before = touched();
    expect(writeFolder(out(), files, false)).toEqual({ ...NOTHING, unchanged: Object.keys(files).length });
    expect(touched()).toEqual(before);

    const renewed = { ...files, "ca-authority/admin.pem": "another" };
    expect(writeFolder(out(), renewed, false).written).toEqual(["ca-authority/admin.pem"]);
    expect(readFileSync(join(out(), "ca-authority/admin.pem"), "utf8")).toBe("another");
    expect(Object.entries(touched()).filter(([path, inode]) => before[path] !== inode)).toHaveLength(1);
  });

  test("a mode that was opened is closed, and what is not of the cluster is left alone and named", () => {
    writeFolder(out(), files, false);
    chmodSync(join(out(), "ca-authority/ca-key.pem"), 0o644);
    writeFileSync(join(out(), "kubeconfigs/mine.kubeconfig"), "mine");
    expect(writeFolder(out(), files, false)).toMatchObject({
      written: ["ca-authority/ca-key.pem"],
      others: ["kubeconfigs/mine.kubeconfig"],
    });
    expect(mode(join(out(), "ca-authority/ca-key.pem"))).toBe("600");
  });

  test("a folder below that was opened is closed, even where nothing in it has changed", () => {
    writeFolder(out(), files, false);
    chmodSync(join(out(), "ca-authority"), 0o755);
    expect(writeFolder(out(), files, false).written).toEqual([]);
    expect(mode(join(out(), "ca-authority"))).toBe("700");
  });

  test("an encryption config with a key that the state has not stays; one that only looks different does not", () => {
    writeFolder(out(), files, false);
    const file = join(out(), "encryption-config.yaml");
    const own = files["encryption-config.yaml"] as string;
    const second = own.replace(
      "  - identity",
      `      - name: old\n        secret: "${Buffer.alloc(32).toString("base64")}"\n  - identity`,
    );
    const secret = /secret: (.*)/.exec(own)?.[1] as string;
    for (const text of [second, own.replace(secret, Buffer.alloc(32, 1).toString("base64"))]) {
      writeFileSync(file, text);
      expect(writeFolder(out(), { ...files, "ca-authority/admin.pem": text }, false)).toMatchObject({
        written: ["ca-authority/admin.pem"],
        kept: ["encryption-config.yaml"],
      });
      expect(readFileSync(file, "utf8")).toBe(text);
    }
    expect(writeFolder(out(), files, true)).toMatchObject({ kept: [] });
    expect(readFileSync(file, "utf8")).toBe(own);
    writeFileSync(file, own.replace("apiVersion", "# mine\napiVersion"));
    expect(writeFolder(out(), files, false)).toMatchObject({ written: ["encryption-config.yaml"], kept: [] });
  });

  test("what a cluster no longer has goes, and what is the reader's own stays", () => {
    writeFolder(out(), files, false);
    for (const path of ["kubeconfigs/mine.kubeconfig", "ca-authority/old-worker.pem"]) {
      writeFileSync(join(out(), path), "mine");
    }
    const outputs = outputsOf(json, computed);
    const gone = `${TUTORIAL_NAME}-worker-2`;
    const { [gone]: _node, ...nodes } = outputs.nodes as Record<string, unknown>;
    const pems = Object.entries(outputs.pem_files as object).filter(([file]) => !file.startsWith(gone));
    const smaller = { ...outputs, nodes, pem_files: Object.fromEntries(pems) };
    expect(writeFolder(out(), credentialFiles(deployedCluster(TUTORIAL_NAME, smaller)), false)).toEqual({
      written: ["cluster.json"],
      unchanged: 27,
      kept: [],
      removed: [`ca-authority/${gone}-key.pem`, `ca-authority/${gone}.pem`, `kubeconfigs/${gone}.kubeconfig`],
      others: ["ca-authority/old-worker.pem", "kubeconfigs/mine.kubeconfig"],
    });
  });

  test("where another cluster is replaced, its ssh key and its workers' files go", async () => {
    const other = deployedCluster("theirs", outputsOf(json, await issueDefaultCluster(json)));
    const nodes = Object.fromEntries(
      Object.entries(other.nodes).map(([name, node]) => [name.replace(TUTORIAL_NAME, "theirs"), node]),
    );
    const pemFiles = Object.fromEntries(
      Object.entries(other.pemFiles).map(([name, pem]) => [name.replace(TUTORIAL_NAME, "theirs"), pem]),
    );
    writeFolder(out(), credentialFiles({ ...other, nodes, pemFiles }), false);
    expect(paths(out())).toContain("ssh/theirs.id_rsa");
    expect(writeFolder(out(), files, true).removed).toHaveLength(1 + 3 * 3);
    expect(paths(out())).toEqual(Object.keys(files).sort());
  });

  test("another authority's folder is refused, and replaced where that is asked for", async () => {
    const other = await issueDefaultCluster(json);
    writeFolder(out(), credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, other))), false);
    const before = readFileSync(join(out(), "ca-authority/admin.pem"), "utf8");
    expect(() => writeFolder(out(), files, false)).toThrow(
      new CredentialsError(
        `${out()} holds the credentials of another cluster, or of this one before its authority had another key; --replace puts this one's in their place`,
      ),
    );
    expect(readFileSync(join(out(), "ca-authority/admin.pem"), "utf8")).toBe(before);
    writeFolder(out(), files, true);
    expect(readFileSync(join(out(), "ca-authority/admin.pem"), "utf8")).toBe(files["ca-authority/admin.pem"]);
  });

  test("an authority whose certificate was renewed with its key is the same", async () => {
    const { "tls_self_signed_cert.ca-certificate": _, ...rest } = computed;
    const renewed = await carryOutTls(json, rest);
    writeFolder(out(), files, false);
    const after = credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, renewed)));
    expect(writeFolder(out(), after, false).written).toContain("ca-authority/ca.pem");
  });

  test("an authority is told by its certificate too", async () => {
    const other = await issueDefaultCluster(json);
    writeFolder(out(), credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, other))), false);
    rmSync(join(out(), "ca-authority/ca-key.pem"));
    expect(() => writeFolder(out(), files, false)).toThrow(/holds the credentials of another cluster/);
  });

  test("a folder of something else is refused, --replace or not, and left as it is", () => {
    mkdirSync(out(), { mode: 0o700 });
    writeFileSync(join(out(), ".gitignore"), "mine");
    for (const replace of [false, true]) {
      expect(() => writeFolder(out(), files, replace)).toThrow(/which has no cluster\.json$/);
    }
    expect(readdirSync(out())).toEqual([".gitignore"]);
    expect(readFileSync(join(out(), ".gitignore"), "utf8")).toBe("mine");
  });

  test("a second run at the same time is refused, and what a killed one has left is no obstacle", () => {
    writeFolder(out(), files, false);
    const staging = join(out(), ".writing");
    mkdirSync(staging);
    expect(() => writeFolder(out(), files, false)).toThrow(/is being written by another run/);
    const before = new Date(Date.now() - 120_000);
    utimesSync(staging, before, before);
    writeFolder(out(), files, false);
    expect(readdirSync(out())).not.toContain(".writing");
  });

  test("a folder below that is a link is refused, and nothing is written through it", () => {
    writeFolder(out(), files, false);
    rmSync(join(out(), "ssh"), { recursive: true });
    const elsewhere = mkdtempSync(join(scratch, "elsewhere-"));
    symlinkSync(elsewhere, join(out(), "ssh"));
    expect(() => writeFolder(out(), files, false)).toThrow(/ssh is no folder, but a link or something else$/);
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("a link to nowhere is refused, and stays", () => {
    symlinkSync(join(scratch, "nowhere"), out());
    expect(() => writeFolder(out(), files, false)).toThrow(/'--out' must be a folder/);
    expect(readdirSync(scratch)).toEqual(["out"]);
  });

  test.each([
    [
      "a folder that others may read",
      () => mkdirSync(out(), { mode: 0o755 }),
      /must be a folder that is closed to others \(chmod 700\), got: \S+ with mode 0755$/,
    ],
    ["a file", () => writeFileSync(out(), "mine"), /'--out' must be a folder, got: \S+$/],
    ["a link", () => symlinkSync(tmpdir(), out()), /'--out' must be a folder, got: \S+$/],
    [
      "a folder in the place of a file",
      () => mkdirSync(join(out(), "cluster.json/mine"), { recursive: true, mode: 0o700 }),
      /^cannot write \S+: EISDIR|ENOTEMPTY|EEXIST/,
    ],
  ])("%s is refused in one line", (_what, prepare, message) => {
    prepare();
    if (statSync(out()).isDirectory() && message.source.startsWith("^cannot")) chmodSync(out(), 0o700);
    expect(() => writeFolder(out(), files, false)).toThrow(CredentialsError);
    expect(() => writeFolder(out(), files, false)).toThrow(message);
  });
});

describeSuite("a full disk", () => {
  test("a full disk is one line, and what was there stays as it was", () => {
    const disk = join(scratch, "disk");
    mkdirSync(disk);
    const program = `
      const { writeFolder } = require(${JSON.stringify(join(PROJECT, "credentials/folder.ts"))});
      const files = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
      try { writeFolder(${JSON.stringify(join(disk, "out"))}, files, false); } catch (error) { console.error(error.message); process.exit(1); }
    `;
    // A mount of its own that goes with the shell; what lies in it is listed at the end.
    const script = `mount -t tmpfs -o size=\${SIZE}k none ${disk} && mkdir -m 700 ${disk}/out && mkdir -m 700 ${disk}/out/ca-authority && echo "{}" > ${disk}/out/cluster.json &&
      printf old > ${disk}/out/ca-authority/admin.pem; node --import tsx -e '${program.replaceAll("'", "'\\''")}'; echo "status $?"; cat ${disk}/out/ca-authority/admin.pem; find ${disk}/out -type f | wc -l`;
    const run = (size: number) =>
      spawnSync("unshare", ["--mount", "sh", "-c", script], {
        cwd: PROJECT,
        encoding: "utf8",
        input: JSON.stringify(files),
        env: { ...process.env, SIZE: String(size) },
      });
    const full = run(40);
    expect(full.stderr).toMatch(/^cannot write \S+: ENOSPC: no space left on device, write\n$/);
    expect(full.stdout).toBe("status 1\nold2\n");
    expect(run(4000).stdout).toContain("status 0\n-----BEGIN CERTIFICATE-----");
  });
});

describeSuite("real Terraform", () => {
  const run = (cwd: string, ...args: string[]) =>
    spawnSync("npm", ["run", "--silent", "--prefix", PROJECT, "credentials", "--", ...args], {
      cwd,
      encoding: "utf8",
      env,
    });
  const env = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1" };
  const stack = () => join(scratch, "cdktf.out/stacks", TUTORIAL_NAME);

  /** What synthesis writes, with the outputs as literals and no resources, so that no provider is needed. */
  function synthesize(
    outputs: Record<string, unknown>,
    backend: object = { local: { path: "../../../a.tfstate" } },
  ): void {
    mkdirSync(stack(), { recursive: true });
    writeFileSync(
      join(scratch, "cdktf.out/manifest.json"),
      JSON.stringify({ stacks: { a: { name: TUTORIAL_NAME, workingDirectory: `stacks/${TUTORIAL_NAME}` } } }),
    );
    const output = Object.fromEntries(
      Object.entries(outputs).map(([name, value]) => [name, { value, sensitive: true }]),
    );
    writeFileSync(join(stack(), "cdk.tf.json"), JSON.stringify({ terraform: { backend }, output }));
  }

  function terraform(...args: string[]): void {
    const { status, stderr } = spawnSync("terraform", [`-chdir=${stack()}`, ...args], { encoding: "utf8", env });
    if (status !== 0) throw new Error(stderr);
  }

  const options = () => ["--from", join(scratch, "cdktf.out"), "--out", out()];

  test("the whole way: not synthesized, not deployed, an older deploy, deployed, and a state that others may read", () => {
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /^credentials: '--from' must be a folder that `npm run synth` has written, got: \S+\n$/,
      ),
    });

    synthesize(outputsOf(json, computed));
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: `credentials: ${TUTORIAL_NAME} is not deployed: its state has no outputs; \`npm run deploy\` makes them\n`,
    });

    const { encryption_key: _, ...older } = outputsOf(json, computed);
    synthesize(older);
    terraform("init");
    terraform("apply", "-auto-approve");
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: `credentials: the deployed ${TUTORIAL_NAME} has no output encryption_key: \`npm run deploy\` adds it\n`,
    });
    expect(readdirSync(scratch)).not.toContain("out");

    synthesize(outputsOf(json, computed));
    terraform("apply", "-auto-approve");
    // As on another administrator's machine: synthesized, and never initialized.
    rmSync(join(stack(), ".terraform"), { recursive: true });
    for (const file of ["a.tfstate", "a.tfstate.backup"]) chmodSync(join(scratch, file), 0o600);
    expect(run(scratch, ...options())).toMatchObject({
      status: 0,
      stdout: `${out()}: ${Object.keys(files).length} files written, 0 unchanged\n`,
      stderr: "",
    });
    for (const [path, content] of Object.entries(files)) expect(readFileSync(join(out(), path), "utf8")).toBe(content);

    writeFileSync(join(out(), "ca-authority/admin.pem"), "nothing");
    const checked = run(scratch, "check", "--out", out(), "--json");
    expect(checked).toMatchObject({ status: 1, stderr: "" });
    expect(JSON.parse(checked.stdout)).toMatchObject({ cluster: TUTORIAL_NAME, faults: 2 });
    // Another authority's key makes it another cluster's, unless that is said to be meant.
    writeFileSync(
      join(out(), "ca-authority/ca-key.pem"),
      generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }),
    );
    expect(run(scratch, ...options())).toMatchObject({ status: 2, stderr: expect.stringContaining("--replace") });
    expect(run(scratch, ...options(), "--replace")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("2 files written"),
    });
    writeFileSync(join(out(), "cluster.json"), "{}");
    expect(run(scratch, "check", "--out", out())).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^credentials: [^\n]*\n$/),
    });
    run(scratch, ...options());

    chmodSync(join(scratch, "a.tfstate.backup"), 0o604);
    expect(run(scratch, ...options()).stderr).toMatch(
      /a\.tfstate\.backup holds every key, and others may read it: mode 0604/,
    );
    chmodSync(join(scratch, "a.tfstate.backup"), 0o600);
    chmodSync(join(scratch, "a.tfstate"), 0o640);
    const again = run(scratch, ...options());
    expect(again.stdout).toBe(`${out()}: 0 files written, ${Object.keys(files).length} unchanged\n`);
    expect(again.stderr).toMatch(
      /^credentials: warning: \S+a\.tfstate holds every key, and others may read it: mode 0640, chmod 600 it\n$/,
    );
    expect(run(scratch, "check", "--out", out())).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("all is well"),
    });
  });

  test("without --out: the folder named after the cluster, which check finds without asking the state", () => {
    synthesize(outputsOf(json, computed));
    terraform("init");
    terraform("apply", "-auto-approve");
    for (const file of ["a.tfstate", "a.tfstate.backup"])
      if (existsSync(join(scratch, file))) chmodSync(join(scratch, file), 0o600);
    const command = ["--import", pathToFileURL(require.resolve("tsx")).href, join(PROJECT, "tools/credentials.ts")];
    const here = (path: string, ...args: string[]) =>
      spawnSync(process.execPath, [...command, ...args], {
        cwd: scratch,
        encoding: "utf8",
        env: { ...env, PATH: path },
      });
    expect(here(process.env.PATH as string)).toMatchObject({
      status: 0,
      stdout: `${TUTORIAL_NAME}: ${Object.keys(files).length} files written, 0 unchanged\n`,
    });
    expect(paths(join(scratch, TUTORIAL_NAME))).toEqual(Object.keys(files).sort());
    expect(here("/nowhere", "check")).toMatchObject({ status: 0, stdout: expect.stringContaining("all is well") });

    const config = join(scratch, TUTORIAL_NAME, "encryption-config.yaml");
    writeFileSync(config, "secret: b3RoZXI=");
    expect(here(process.env.PATH as string)).toMatchObject({
      status: 0,
      stderr:
        "credentials: warning: encryption-config.yaml has a key that the state has not: it stays as it is (docs/certificates.md)\n",
    });
    expect(here("/nowhere", "--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("--days N") });
    expect(here("/nowhere", "check", "--days", "soon")).toMatchObject({
      status: 2,
      stderr: "credentials: '--days' must be a number of days, got: soon\n",
    });
  });

  test("a backend that does not answer is one line", () => {
    synthesize(outputsOf(json, computed), { http: { address: "http://127.0.0.1:1/state", retry_max: 0 } });
    const { status, stderr } = run(scratch, ...options());
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/^credentials: terraform: .*127\.0\.0\.1:1.*\n$/),
    });
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

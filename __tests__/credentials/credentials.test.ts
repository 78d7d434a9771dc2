import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
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
import { describeSuite } from "../../cloud/requirements";
import { credentialFiles, describedCluster } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { knownOutputs } from "../../credentials/stack";
import { terraformProgram } from "../../model/terraform";
import { UserError } from "../../model/user-error";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { AWS_ATTRIBUTES, issueDefaultCluster } from "../../testing/issued-cluster";
import { USERS } from "../../testing/ssh-hosts";
import { synthesizeCluster } from "../../testing/synthesize";
import { type Computed, issueTls } from "../../testing/tls-resources";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");
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

  test("have the paths that part 2 uses, and there are no others", () => {
    const fileNames = [
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
    const users = fileNames.filter((fileName) => !["ca", "master-kubernetes", "service-account"].includes(fileName));
    expect(Object.keys(files).sort()).toEqual(
      [
        ".gitignore",
        "cluster.json",
        "encryption-config.yaml",
        `ssh/${TUTORIAL_NAME}.id_rsa`,
        ...fileNames.flatMap((fileName) => [`ca-authority/${fileName}.pem`, `ca-authority/${fileName}-key.pem`]),
        ...users.map((fileName) => `kubeconfigs/${fileName}.kubeconfig`),
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
  ])("the kubeconfig of %s has the right user, server and embedded certificates", (fileName, user, server) => {
    const data = (file: string) => Buffer.from(files[`ca-authority/${file}`] as string).toString("base64");
    expect(parse(files[`kubeconfigs/${fileName}.kubeconfig`] as string)).toEqual({
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [{ name: TUTORIAL_NAME, cluster: { server, "certificate-authority-data": data("ca.pem") } }],
      contexts: [{ name: "default", context: { cluster: TUTORIAL_NAME, user } }],
      "current-context": "default",
      users: [
        {
          name: user,
          user: { "client-certificate-data": data(`${fileName}.pem`), "client-key-data": data(`${fileName}-key.pem`) },
        },
      ],
    });
  });

  test.each(["2024", "no", "1e3", "null"])("a cluster's name stays a string in YAML: %s", (name) => {
    const outputs = outputsOf(json, computed);
    const config = parse(credentialFiles(deployedCluster(name, outputs))["kubeconfigs/admin.kubeconfig"] as string);
    expect(config.clusters[0].name).toBe(name);
    expect(config.contexts[0].context).toEqual({ cluster: name, user: "admin" });
  });

  test("the encryption config encrypts secrets with the key of the state, and can read unencrypted ones", () => {
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

test("an incomplete deploy is refused", () => {
  const outputs = outputsOf(json, computed);
  const { [`${TUTORIAL_NAME}-worker-1-key.pem`]: _, ...pemFiles } = outputs.pem_files as Record<string, string>;
  expect(() => credentialFiles(deployedCluster(TUTORIAL_NAME, { ...outputs, pem_files: pemFiles }))).toThrow(
    new UserError(`the deployed ${TUTORIAL_NAME} lacks ${TUTORIAL_NAME}-worker-1-key.pem: \`npm run deploy\` adds it`),
  );
});

describe("writing the files", () => {
  const NOTHING = { written: [], removed: [], others: [] };

  test("folders have mode 0700 and files 0600 with any umask, and no other file is left", () => {
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

  test("a second run changes nothing, and a renewal changes only the renewed certificate", () => {
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

  test("an open mode is closed, and other files are not changed but listed", () => {
    writeFolder(out(), files, false);
    chmodSync(join(out(), "ca-authority/ca-key.pem"), 0o644);
    writeFileSync(join(out(), "kubeconfigs/mine.kubeconfig"), "mine");
    expect(writeFolder(out(), files, false)).toMatchObject({
      written: ["ca-authority/ca-key.pem"],
      others: ["kubeconfigs/mine.kubeconfig"],
    });
    expect(mode(join(out(), "ca-authority/ca-key.pem"))).toBe("600");
  });

  test("an open subfolder is closed, even if no file in it has changed", () => {
    writeFolder(out(), files, false);
    chmodSync(join(out(), "ca-authority"), 0o755);
    expect(writeFolder(out(), files, false).written).toEqual([]);
    expect(mode(join(out(), "ca-authority"))).toBe("700");
  });

  const CONFIG = "encryption-config.yaml";
  const OTHER_KEY = Buffer.alloc(32, 1).toString("base64");

  test.each([
    [
      "a second key",
      (text: string) => text.replace("  - identity", `      - name: old\n        secret: "${OTHER_KEY}"\n  - identity`),
    ],
    ["another key", (text: string) => text.replace(/secret: .*/, `secret: ${OTHER_KEY}`)],
    ["a key in quotes", (text: string) => text.replace(/secret: .*/, `'secret': '${OTHER_KEY}'`)],
    ["a key on a separate line", (text: string) => text.replace(/secret: .*/, `secret: >-\n          ${OTHER_KEY}`)],
    ["a key in a comment", (text: string) => `${text}# ${OTHER_KEY}\n`],
    [
      "a key of 16 bytes",
      (text: string) => text.replace(/secret: .*/, `secret: ${Buffer.alloc(16).toString("base64")}`),
    ],
    ["a key in a text that is not YAML", () => `[ ${OTHER_KEY}`],
    ["its key under another name", (text: string) => text.replace(/name: .*/, "name: key1")],
    [
      "a key in pieces",
      (text: string) => text.replace(/secret: .*/, `secret: "${OTHER_KEY.replace(/.{9}/g, "$&\\\n          ")}"`),
    ],
    ["another shape", (text: string) => text.replace("aescbc", "secretbox")],
  ])("an encryption config with %s is not changed, or is renamed with --replace", (_case, change) => {
    writeFolder(out(), files, false);
    const file = join(out(), CONFIG);
    const text = change(files[CONFIG] as string);
    for (const name of ["encryption-config.before.yaml", "encryption-config.before-2.yaml"]) {
      writeFileSync(file, text);
      chmodSync(file, 0o644);
      expect(writeFolder(out(), { ...files, "ca-authority/admin.pem": name }, false)).toMatchObject({
        written: ["ca-authority/admin.pem"],
        kept: CONFIG,
      });
      expect([readFileSync(file, "utf8"), mode(file)]).toEqual([text, "600"]);
      expect(writeFolder(out(), files, true)).toMatchObject({ kept: name });
      expect(readFileSync(file, "utf8")).toBe(files[CONFIG]);
      expect(readFileSync(join(out(), name), "utf8")).toBe(text);
    }
  });

  test("an encryption config in UTF-16, or a link, is not changed", () => {
    writeFolder(out(), files, false);
    const file = join(out(), CONFIG);
    const other = Buffer.from((files[CONFIG] as string).replace(/secret: .*/, `secret: ${OTHER_KEY}`), "utf16le");
    writeFileSync(file, other);
    expect(writeFolder(out(), files, false)).toMatchObject({ kept: CONFIG });
    expect(readFileSync(file)).toEqual(other);

    const elsewhere = join(scratch, "elsewhere");
    renameSync(file, elsewhere);
    symlinkSync(elsewhere, file);
    expect(writeFolder(out(), files, false)).toMatchObject({ kept: CONFIG });
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(writeFolder(out(), files, true)).toMatchObject({ kept: "encryption-config.before.yaml" });
    expect(readFileSync(elsewhere)).toEqual(other);
  });

  test("another cluster's folder is refused even if its CA files are missing", async () => {
    writeFolder(out(), await anotherCluster(), false);
    for (const name of ["ca.pem", "ca-key.pem"]) rmSync(join(out(), "ca-authority", name));
    expect(() => writeFolder(out(), files, false)).toThrow(/contains the credentials of another cluster/);
    expect(existsSync(join(out(), "ssh/theirs.id_rsa"))).toBe(true);
  });

  test("a folder in the place of a file is reported before any file is moved into place", () => {
    writeFolder(out(), files, false);
    rmSync(join(out(), "ca-authority/admin.pem"));
    rmSync(join(out(), CONFIG));
    mkdirSync(join(out(), CONFIG));
    expect(() => writeFolder(out(), files, false)).toThrow(/^cannot write \S+: encryption-config\.yaml is a folder$/);
    expect(existsSync(join(out(), "ca-authority/admin.pem"))).toBe(false);
  });

  test("a pipe in the place of the encryption config is replaced", () => {
    writeFolder(out(), files, false);
    rmSync(join(out(), CONFIG));
    spawnSync("mkfifo", [join(out(), CONFIG)]);
    expect(writeFolder(out(), files, false).written).toEqual([CONFIG]);
    expect(readFileSync(join(out(), CONFIG), "utf8")).toBe(files[CONFIG]);
  });

  test("an encryption config without another key is updated", () => {
    writeFolder(out(), files, false);
    for (const text of ["", (files[CONFIG] as string).replace("apiVersion", "# mine\napiVersion")]) {
      writeFileSync(join(out(), CONFIG), text);
      expect(writeFolder(out(), files, false)).toEqual({
        ...NOTHING,
        written: [CONFIG],
        unchanged: Object.keys(files).length - 1,
      });
    }
  });

  /** The files of another cluster, with other names. */
  async function anotherCluster(): Promise<Record<string, string>> {
    const other = deployedCluster("theirs", outputsOf(json, await issueDefaultCluster(json)));
    const renamed = <T>(byName: Readonly<Record<string, T>>) =>
      Object.fromEntries(Object.entries(byName).map(([name, value]) => [name.replace(TUTORIAL_NAME, "theirs"), value]));
    return credentialFiles({ ...other, nodes: renamed(other.nodes), pemFiles: renamed(other.pemFiles) });
  }

  test("git ignores the folder", () => {
    const git = (...args: string[]) => spawnSync("git", args, { cwd: scratch, encoding: "utf8" });
    git("init", "-q");
    writeFolder(out(), files, false);
    expect(git("status", "--porcelain", "--untracked-files=all")).toMatchObject({ status: 0, stdout: "" });
  });

  test("files of removed machines are deleted, and the user's own files stay", () => {
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
      removed: [`ca-authority/${gone}-key.pem`, `ca-authority/${gone}.pem`, `kubeconfigs/${gone}.kubeconfig`],
      others: ["ca-authority/old-worker.pem", "kubeconfigs/mine.kubeconfig"],
    });
  });

  test("replacing another cluster deletes its ssh key and its workers' files", async () => {
    writeFolder(out(), await anotherCluster(), false);
    expect(paths(out())).toContain("ssh/theirs.id_rsa");
    expect(writeFolder(out(), files, true).removed).toHaveLength(1 + 3 * 3);
    expect(paths(out())).toEqual([...Object.keys(files), "encryption-config.before.yaml"].sort());
  });

  test("a folder with another CA is refused, and replaced with --replace", async () => {
    const other = await issueDefaultCluster(json);
    writeFolder(out(), credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, other))), false);
    const before = readFileSync(join(out(), "ca-authority/admin.pem"), "utf8");
    expect(() => writeFolder(out(), files, false)).toThrow(
      new UserError(
        `${out()} contains the credentials of another cluster, or of this cluster with another CA key; --replace replaces them`,
      ),
    );
    expect(readFileSync(join(out(), "ca-authority/admin.pem"), "utf8")).toBe(before);
    writeFolder(out(), files, true);
    expect(readFileSync(join(out(), "ca-authority/admin.pem"), "utf8")).toBe(files["ca-authority/admin.pem"]);
  });

  test("a CA certificate that is renewed with the same key counts as the same CA", async () => {
    const { "tls_self_signed_cert.ca-certificate": _, ...rest } = computed;
    const renewed = await issueTls(json, rest);
    writeFolder(out(), files, false);
    const after = credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, renewed)));
    expect(writeFolder(out(), after, false).written).toContain("ca-authority/ca.pem");
  });

  test("another CA is recognized by its certificate too", async () => {
    const other = await issueDefaultCluster(json);
    writeFolder(out(), credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, other))), false);
    rmSync(join(out(), "ca-authority/ca-key.pem"));
    expect(() => writeFolder(out(), files, false)).toThrow(/contains the credentials of another cluster/);
  });

  test("a folder with other files is refused with and without --replace, and not changed", () => {
    mkdirSync(out(), { mode: 0o700 });
    writeFileSync(join(out(), ".gitignore"), "mine");
    for (const replace of [false, true]) {
      expect(() => writeFolder(out(), files, replace)).toThrow(/which has no cluster\.json$/);
    }
    expect(readdirSync(out())).toEqual([".gitignore"]);
    expect(readFileSync(join(out(), ".gitignore"), "utf8")).toBe("mine");
  });

  test("a second run at the same time is refused, and the staging folder of a killed run is removed", () => {
    writeFolder(out(), files, false);
    const staging = join(out(), ".writing");
    mkdirSync(staging);
    expect(() => writeFolder(out(), files, false)).toThrow(/another run is writing/);
    // Also if the clock has been set back in the meantime.
    for (const seconds of [-120, 120]) {
      mkdirSync(staging, { recursive: true });
      const then = new Date(Date.now() + seconds * 1000);
      utimesSync(staging, then, then);
      writeFolder(out(), files, false);
      expect(readdirSync(out())).not.toContain(".writing");
    }
  });

  /** Writes the files in a separate process, which is killed at the given call of a function of node:fs. */
  function writeKilled(call: "openSync" | "renameSync" | "rmSync", time: number, replace: boolean): void {
    const program = `
      const fs = require("node:fs");
      const { writeFolder } = require(${JSON.stringify(join(PROJECT, "credentials/folder.ts"))});
      const files = JSON.parse(fs.readFileSync(0, "utf8"));
      const original = fs.${call};
      let time = 0;
      fs.${call} = (...args) => {
        time += 1;
        if (time === ${time}) process.kill(process.pid, "SIGKILL");
        return original(...args);
      };
      writeFolder(${JSON.stringify(out())}, files, ${replace});
    `;
    const options = { cwd: PROJECT, encoding: "utf8", input: JSON.stringify(files) } as const;
    const { signal, stderr } = spawnSync(process.execPath, ["--import", "tsx", "-e", program], options);
    expect({ signal, stderr }).toEqual({ signal: "SIGKILL", stderr: "" });
  }

  /** Runs again a minute later. */
  function writeLater(replace: boolean) {
    const staging = join(out(), ".writing");
    expect(() => writeFolder(out(), files, replace)).toThrow(
      /another run is writing \S+, or was killed less than a minute ago/,
    );
    const before = new Date(Date.now() - 120_000);
    utimesSync(staging, before, before);
    return writeFolder(out(), files, replace);
  }

  test.each([
    ["while it writes the first secret", "openSync", 4],
    ["while it writes the last one", "openSync", 30],
    ["while it moves the first file into place", "renameSync", 2],
    ["while it moves the last one", "renameSync", 30],
  ] as const)(
    "after a first run is killed %s, git ignores its files and the next run completes it",
    (_case, call, time) => {
      const git = (...args: string[]) => spawnSync("git", args, { cwd: scratch, encoding: "utf8" });
      git("init", "-q");
      writeKilled(call, time, false);
      expect(git("status", "--porcelain", "--untracked-files=all")).toMatchObject({ status: 0, stdout: "" });
      writeLater(false);
      expect(paths(out())).toEqual(Object.keys(files).sort());
    },
  );

  test("after a run is killed while it deletes another cluster's files, the next run deletes them", async () => {
    const theirs = await anotherCluster();
    for (const [call, time] of [
      ["renameSync", 20],
      ["rmSync", 5],
      ["renameSync", 30],
    ] as const) {
      rmSync(out(), { recursive: true, force: true });
      writeFolder(out(), theirs, false);
      writeKilled(call, time, true);
      writeLater(true);
      expect(paths(out())).toEqual([...Object.keys(files), "encryption-config.before.yaml"].sort());
    }
  });

  test("circular links and pipes do not block a run", () => {
    writeFolder(out(), files, false);
    symlinkSync(".", join(out(), "a"));
    symlinkSync(".", join(out(), "b"));
    spawnSync("mkfifo", [join(out(), "pipe")]);
    for (const name of ["known_hosts", "known_hosts.old"]) writeFileSync(join(out(), "ssh", name), "");
    expect(writeFolder(out(), files, false)).toEqual({ ...NOTHING, unchanged: Object.keys(files).length });
  });

  test("a link in the place of a file is replaced by the file", () => {
    writeFolder(out(), files, false);
    const file = join(out(), "ca-authority/admin.pem");
    renameSync(file, join(scratch, "aside"));
    symlinkSync(join(scratch, "aside"), file);
    expect(writeFolder(out(), files, false).written).toEqual(["ca-authority/admin.pem"]);
    expect(lstatSync(file).isFile()).toBe(true);
  });

  /** Writes the files in a separate process in which the given call of renameSync fails. */
  function writeFailing(time: number): void {
    const program = `
      const fs = require("node:fs");
      const { writeFolder } = require(${JSON.stringify(join(PROJECT, "credentials/folder.ts"))});
      const files = JSON.parse(fs.readFileSync(0, "utf8"));
      const original = fs.renameSync;
      let time = 0;
      fs.renameSync = (...args) => {
        time += 1;
        if (time === ${time}) throw new Error("no space");
        return original(...args);
      };
      try { writeFolder(${JSON.stringify(out())}, files, false); } catch (error) { console.log(error.message); }
    `;
    const options = { cwd: PROJECT, encoding: "utf8", input: JSON.stringify(files) } as const;
    const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "-e", program], options);
    expect({ stdout, stderr }).toEqual({ stdout: `cannot write ${out()}: no space\n`, stderr: "" });
  }

  test.each([2, 15, 30])("after rename %d of a first run fails, the next run completes the folder at once", (time) => {
    writeFailing(time);
    writeFolder(out(), files, false);
    expect(paths(out())).toEqual(Object.keys(files).sort());
    expect(readdirSync(out())).not.toContain(".writing");
  });

  test("after the first rename fails, nothing is left", () => {
    writeFailing(1);
    expect(existsSync(out())).toBe(false);
  });

  test("after a file name is too long for the disk, the next run completes the folder", () => {
    const tooLong = { ...files, [`ca-authority/${"a".repeat(300)}.pem`]: "pem" };
    for (const replace of [false, true, false]) {
      expect(() => writeFolder(out(), tooLong, replace)).toThrow(/^cannot write \S+: ENAMETOOLONG: /);
      expect(readFileSync(join(out(), ".gitignore"), "utf8")).toBe("*\n");
    }
    writeFolder(out(), files, false);
    expect(paths(out())).toEqual(Object.keys(files).sort());
  });

  test.each(["../elsewhere", "nowhere"])(
    "a link in the place of .gitignore is replaced, not written through: %s",
    (to) => {
      writeFolder(out(), files, false);
      rmSync(join(out(), ".gitignore"));
      symlinkSync(to, join(out(), ".gitignore"));
      writeFolder(out(), files, false);
      expect(existsSync(join(scratch, "elsewhere"))).toBe(false);
      expect(readFileSync(join(out(), ".gitignore"), "utf8")).toBe("*\n");
      expect(lstatSync(join(out(), ".gitignore")).isFile()).toBe(true);
    },
  );

  test.each<[string, (path: string) => void]>([
    ["a pipe", (path) => spawnSync("mkfifo", [path])],
    ["a device", (path) => symlinkSync("/dev/zero", path)],
    [
      "a socket",
      (path) => spawnSync("perl", ["-MIO::Socket::UNIX", "-e", "IO::Socket::UNIX->new(Local => shift)", path]),
    ],
    ["a link to nowhere", (path) => symlinkSync("nowhere", path)],
  ])("%s in the place of a file is replaced, and does not block a run or the check", (_case, make) => {
    for (const name of ["cluster.json", "ca-authority/ca.pem", "ca-authority/ca-key.pem", ".gitignore"]) {
      writeFolder(out(), files, false);
      rmSync(join(out(), name));
      make(join(out(), name));
      expect(lstatSync(join(out(), name)).isFile()).toBe(false);
      if (name === "cluster.json") {
        expect(() => describedCluster(out())).toThrow(/^'--out' must be .*, which has (no|an invalid) cluster\.json$/);
      }
      expect(writeFolder(out(), files, false).written).toEqual([name]);
    }
  });

  test.each(["cluster.json", "ca-authority/ca.pem"])("a folder in the place of %s is refused in one line", (name) => {
    writeFolder(out(), files, false);
    rmSync(join(out(), name));
    mkdirSync(join(out(), name));
    expect(() => writeFolder(out(), files, false)).toThrow(`cannot write ${out()}: ${name} is a folder`);
    if (name === "cluster.json") expect(() => describedCluster(out())).toThrow(/has an invalid cluster\.json$/);
  });

  test.each([
    [0o777, "parent"],
    [0o757, "parent"],
    [0o777, "parent/of/several"],
    [0o777, "parent/link"],
  ])("below a folder of mode %o that is open to everybody, %s is refused", (open, below) => {
    const parent = join(scratch, "parent");
    mkdirSync(parent);
    mkdirSync(join(scratch, "parent/real"));
    symlinkSync("real", join(scratch, "parent/link"));
    chmodSync(parent, open);
    const path = join(scratch, below, "out");
    const refusal = `'--out' must be in a folder in which other users cannot rename yours (chmod o-w), got: ${path} in ${parent} with mode 0${open.toString(8)}`;
    expect(() => writeFolder(path, files, false)).toThrow(new UserError(refusal));
    expect(existsSync(path)).toBe(false);
    // With the sticky bit, others cannot rename the folder.
    for (const mode of [0o1777, 0o775]) {
      chmodSync(parent, mode);
      writeFolder(path, files, false);
    }
    chmodSync(parent, open);
    expect(() => writeFolder(path, files, false)).toThrow(new UserError(refusal));
  });

  test("a subfolder that is a link is refused, and no file is written into its target", () => {
    writeFolder(out(), files, false);
    rmSync(join(out(), "ssh"), { recursive: true });
    const elsewhere = mkdtempSync(join(scratch, "elsewhere-"));
    symlinkSync(elsewhere, join(out(), "ssh"));
    expect(() => writeFolder(out(), files, false)).toThrow(/ssh is not a folder \(it may be a link\)$/);
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("a link without a target is refused and not changed", () => {
    symlinkSync(join(scratch, "nowhere"), out());
    expect(() => writeFolder(out(), files, false)).toThrow(/'--out' must be a folder/);
    expect(readdirSync(scratch)).toEqual(["out"]);
  });

  test.each([
    [
      "a folder that other users can read",
      () => mkdirSync(out(), { mode: 0o755 }),
      /must be a folder that only you can access \(chmod 700\), got: \S+ with mode 0755$/,
    ],
    ["a file", () => writeFileSync(out(), "mine"), /'--out' must be a folder, got: \S+$/],
    ["a link", () => symlinkSync(tmpdir(), out()), /'--out' must be a folder, got: \S+, a symbolic link$/],
    [
      "a folder with other files, whatever its mode",
      () => {
        mkdirSync(out(), { mode: 0o755 });
        writeFileSync(join(out(), "mine"), "");
      },
      /must be an empty folder, .* which has no cluster\.json$/,
    ],
    [
      "a folder in the place of a file",
      () => mkdirSync(join(out(), "cluster.json/mine"), { recursive: true, mode: 0o700 }),
      /^cannot write \S+: cluster\.json is a folder$/,
    ],
  ])("%s is refused in one line", (_case, prepare, message) => {
    prepare();
    if (statSync(out()).isDirectory() && message.source.startsWith("^cannot")) chmodSync(out(), 0o700);
    expect(() => writeFolder(out(), files, false)).toThrow(UserError);
    expect(() => writeFolder(out(), files, false)).toThrow(message);
  });
});

describeSuite("a full disk, and folders of others", () => {
  test("a full disk is reported in one line, and the previous files are not changed", () => {
    const disk = join(scratch, "disk");
    mkdirSync(disk);
    const program = `
      const { writeFolder } = require(${JSON.stringify(join(PROJECT, "credentials/folder.ts"))});
      const files = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
      try { writeFolder(${JSON.stringify(join(disk, "out"))}, files, false); } catch (error) { console.error(error.message); process.exit(1); }
    `;
    // A separate mount, which ends with the shell, so the files in it are listed at the end.
    const script = `mount -t tmpfs -o size=\${SIZE}k none ${disk} && mkdir -m 700 ${disk}/out && mkdir -m 700 ${disk}/out/ca-authority && echo "{}" > ${disk}/out/cluster.json && echo "*" > ${disk}/out/.gitignore &&
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
    expect(full.stdout).toBe("status 1\nold3\n");
    expect(run(4000).stdout).toContain("status 0\n-----BEGIN CERTIFICATE-----");
  });

  test("a new folder on a full disk is removed", () => {
    const disk = join(scratch, "disk");
    mkdirSync(disk);
    const program = `
      const { writeFolder } = require(${JSON.stringify(join(PROJECT, "credentials/folder.ts"))});
      try { writeFolder(${JSON.stringify(join(disk, "out"))}, JSON.parse(require("node:fs").readFileSync(0, "utf8")), false); } catch {}
    `;
    const script = `mount -t tmpfs -o size=40k none ${disk}; node --import tsx -e '${program}'; ls -A ${disk}`;
    const { stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", script], {
      cwd: PROJECT,
      encoding: "utf8",
      input: JSON.stringify(files),
    });
    expect({ stdout, stderr }).toEqual({ stdout: "", stderr: "" });
  });

  test("another user's folder is refused, even for root", () => {
    mkdirSync(out(), { mode: 0o700 });
    chownSync(out(), USERS.stranger, USERS.stranger);
    expect(() => writeFolder(out(), files, true)).toThrow(
      new UserError(`'--out' must be a folder that you own, got: ${out()}, which user ${USERS.stranger} owns`),
    );
    expect(readdirSync(out())).toEqual([]);
  });
});

describeSuite("real Terraform", () => {
  const run = (cwd: string, ...args: string[]) =>
    spawnSync("npm", ["run", "--silent", "--prefix", PROJECT, "credentials", "--", ...args], {
      cwd,
      encoding: "utf8",
      env,
    });
  const env: NodeJS.ProcessEnv = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1" };

  afterEach(() => {
    delete env.TF_WORKSPACE;
    delete env.TF_DATA_DIR;
  });
  const stack = () => join(scratch, "cdktf.out/stacks", TUTORIAL_NAME);

  /** Writes a synthesized stack with literal outputs and without resources, so that no provider is needed. */
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
    const { status, stderr } = spawnSync(terraformProgram(), [`-chdir=${stack()}`, ...args], { encoding: "utf8", env });
    if (status !== 0) throw new Error(stderr);
  }

  const options = () => ["--from", join(scratch, "cdktf.out"), "--out", out()];

  test("each state of a project gives its result: not synthesized, not deployed, deployed by an older version, deployed, and a state file that other users can read", () => {
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^credentials: '--from' must be a folder that `npm run synth` wrote, got: \S+\n$/),
    });

    synthesize(outputsOf(json, computed));
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: `credentials: ${TUTORIAL_NAME} is not deployed, its state has no outputs: run \`npm run deploy\`\n`,
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
    // Like on another administrator's machine: synthesized but never initialized.
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
    expect(JSON.parse(checked.stdout)).toMatchObject({ cluster: TUTORIAL_NAME, problems: 2 });
    // With another CA's key, the folder counts as another cluster's. It is replaced only with --replace.
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
      /a\.tfstate\.backup contains every key, and other users can access it \(mode 0604\)/,
    );
    chmodSync(join(scratch, "a.tfstate.backup"), 0o600);
    chmodSync(join(scratch, "a.tfstate"), 0o640);
    const again = run(scratch, ...options());
    expect(again.stdout).toBe(`${out()}: 0 files written, ${Object.keys(files).length} unchanged\n`);
    expect(again.stderr).toMatch(
      /^credentials: warning: \S+a\.tfstate contains every key, and other users can access it \(mode 0640\): run chmod 600 on it\n$/,
    );
    expect(run(scratch, "check", "--out", out())).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("no problems found"),
    });
  });

  test("without --out, the folder has the cluster's name, and check finds it without reading the state", () => {
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
    expect(here("/nowhere", "check")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("no problems found"),
    });

    const config = join(scratch, TUTORIAL_NAME, "encryption-config.yaml");
    writeFileSync(config, `secret: ${Buffer.alloc(32).toString("base64")}`);
    expect(here(process.env.PATH as string)).toMatchObject({
      status: 0,
      stderr:
        "credentials: warning: encryption-config.yaml may contain a key that the state does not have: it was not changed (docs/certificates.md)\n",
    });
    expect(here("/nowhere", "--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("--days N") });
    for (const [args, line] of [
      [["check", "--days", "soon"], "'--days' must be a number of days from 0 to 99999, got: soon"],
      [["--nodes"], "'--nodes' needs the command check; allowed without it: --out, --from, --stack, --replace"],
      [
        ["check", "--replace"],
        "'--replace' cannot be used with check; allowed: --out, --from, --stack, --nodes, --days, --json",
      ],
      [["check", "--out="], "'--out' must be a folder, got: nothing"],
      [["chekc"], "'chekc' is not a command, did you mean 'check'? allowed: check"],
      [
        ["--bogus"],
        "'--bogus' is not an option, did you mean '--out'? allowed: --out, --from, --stack, --replace, --nodes, --days, --json",
      ],
      [
        [],
        "terraform is missing: install Terraform 1.11 or later, or OpenTofu 1.12 or later and set TERRAFORM_BINARY_NAME=tofu",
      ],
      [["--stack", "b"], `'--stack' must be a stack in cdktf.out (${TUTORIAL_NAME}), got: b`],
    ] as const) {
      expect(here("/nowhere", ...args)).toMatchObject({ status: 2, stderr: `credentials: ${line}\n` });
    }

    const manifest = join(scratch, "cdktf.out/manifest.json");
    const { stacks } = JSON.parse(readFileSync(manifest, "utf8"));
    const gone = { name: "gone", workingDirectory: "stacks/gone" };
    writeFileSync(manifest, JSON.stringify({ stacks: { ...stacks, gone } }));
    for (const [args, line] of [
      [[], `'--stack' must be a stack in cdktf.out (${TUTORIAL_NAME}, gone), got: none`],
      [
        ["--stack", "gone"],
        "cdktf.out/stacks/gone must be the stack's folder, as `npm run synth` writes it, got: no folder",
      ],
    ] as const) {
      expect(here("/nowhere", ...args)).toMatchObject({ status: 2, stderr: `credentials: ${line}\n` });
    }
    expect(here(process.env.PATH as string, "--stack", TUTORIAL_NAME)).toMatchObject({ status: 0 });

    // A killed apply may leave an empty state file. docs/recovery.md explains what to do.
    writeFileSync(join(scratch, "a.tfstate"), "");
    expect(here(process.env.PATH as string, "--stack", TUTORIAL_NAME)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /^credentials: \S+a\.tfstate is empty, probably because an apply was killed: docs\/recovery\.md explains how to restore it\n$/,
      ),
    });
  });

  const WORKSPACE = "terraform.tfstate.d/staging/terraform.tfstate";

  const NEW = ["workspace", "new"];

  test.each<[string, NodeJS.ProcessEnv, string[][], string]>([
    ["of a selected workspace", {}, [["init"], [...NEW, "staging"]], WORKSPACE],
    ["of the workspace in TF_WORKSPACE", { TF_WORKSPACE: "staging" }, [["init"]], WORKSPACE],
    [
      "of a workspace with an odd name",
      {},
      [["init"], [...NEW, "$a:b@c=1.tfstate"]],
      "terraform.tfstate.d/$a:b@c=1.tfstate/terraform.tfstate",
    ],
    ["at the path of init -backend-config", {}, [["init", "-backend-config=path=../b.tfstate"]], "../b.tfstate"],
    [
      "in the folder for workspaces of init -backend-config",
      {},
      [
        ["init", "-backend-config=workspace_dir=all"],
        [...NEW, "staging"],
      ],
      "all/staging/terraform.tfstate",
    ],
    [
      "with another folder for Terraform's data",
      { TF_DATA_DIR: ".data" },
      [["init", "-backend-config=path=b.tfstate"]],
      "b.tfstate",
    ],
  ])("the state is where Terraform finds it: %s", (_case, variables, commands, path) => {
    synthesize(outputsOf(json, computed));
    Object.assign(env, variables);
    for (const command of commands) terraform(...command);
    terraform("apply", "-auto-approve");
    const state = join(stack(), path);
    chmodSync(state, 0o644);
    const ended = run(scratch, ...options());
    expect(ended).toMatchObject({ status: 0, stdout: expect.stringContaining("files written") });
    expect(ended.stderr).toBe(
      `credentials: warning: ${state} contains every key, and other users can access it (mode 0644): run chmod 600 on it\n`,
    );
    writeFileSync(state, "");
    expect(run(scratch, ...options()).stderr).toBe(
      `credentials: ${state} is empty, probably because an apply was killed: docs/recovery.md explains how to restore it\n`,
    );
  });

  test("a cluster of another workspace is not deployed, and the state of the JSON's path does not count", () => {
    synthesize(outputsOf(json, computed));
    terraform("init");
    terraform("apply", "-auto-approve");
    terraform("workspace", "new", "staging");
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stderr: `credentials: ${TUTORIAL_NAME} is not deployed, its state of the workspace staging has no outputs: run \`npm run deploy\`\n`,
    });
  });

  const pemFile = (name: string) => (outputsOf(json, computed).pem_files as Record<string, string>)[name] as string;
  const PEMS = (file: string, text: () => string) => [
    "pem_files",
    () => ({ ...(outputsOf(json, computed).pem_files as object), [file]: text() }),
    `pem_files.${file}: `,
  ];
  const NODE = (node: object) => [
    "nodes",
    () => ({ a: { private_ip: "10.0.0.1", public_ip: "", ...node } }),
    `nodes.a.${Object.keys(node)[0]}: must be an IPv4 address`,
  ];
  const YAML = "a.example\nusers:\n- name: evil\n  user:\n    exec: {command: sh}";

  test.each([
    ["nodes", () => ({ a: { private_ip: "10.0.0.1" } }), "nodes.a.public_ip: "],
    NODE({ private_ip: "1" }),
    NODE({ private_ip: "" }),
    NODE({ public_ip: "10.0.0.256" }),
    NODE({ public_ip: "10.0.0.1 # b" }),
    NODE({ public_ip: "-oProxyCommand=sh" }),
    ["nodes", () => ({ ["a".repeat(245)]: { private_ip: "10.0.0.1", public_ip: "" } }), `nodes.${"a".repeat(245)}: `],
    ["kubernetes_public_address", () => "", "kubernetes_public_address: must be a host name"],
    ["kubernetes_public_address", () => YAML, "kubernetes_public_address: must be a host name"],
    ["kubernetes_public_address", () => "a.example:6443", "kubernetes_public_address: must be a host name"],
    ["kubernetes_public_address", () => "a..example", "kubernetes_public_address: must be a host name"],
    [
      "kubernetes_public_address",
      () => `${"a".repeat(63)}.`.repeat(5),
      "kubernetes_public_address: must be a host name",
    ],
    ["kubernetes_service_address", () => "10.32.0.1\n", "kubernetes_service_address: must be an IPv4 address"],
    ["kubernetes_service_address", () => "::1", "kubernetes_service_address: must be an IPv4 address"],
    PEMS("../ca.pem", () => "pem"),
    PEMS(`${"a".repeat(252)}.pem`, () => pemFile("ca.pem")),
    PEMS("ca.txt", () => pemFile("ca.pem")),
    PEMS("ca.pem", () => pemFile("ca-key.pem")),
    PEMS("ca.pem", () => pemFile("ca.pem").repeat(2)),
    PEMS("ca.pem", () => `${pemFile("ca.pem")}${pemFile("ca-key.pem")}`),
    PEMS("ca.pem", () => `# CA\n${pemFile("ca.pem")}`),
    PEMS("ca.pem", () => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    PEMS("ca-key.pem", () => pemFile("ca.pem")),
    PEMS("ca-key.pem", () => ""),
    ["ssh_private_key", () => pemFile("ca.pem"), "ssh_private_key: must be one private key in PEM"],
    ["ssh_private_key", () => "a", "ssh_private_key: must be one private key in PEM"],
    ["encryption_key", () => "", "encryption_key: must be 32 bytes in base64"],
    ["encryption_key", () => Buffer.alloc(33).toString("base64"), "encryption_key: must be 32 bytes in base64"],
    ["encryption_key", () => `${Buffer.alloc(32).toString("base64")}\n`, "encryption_key: must be 32 bytes in base64"],
  ] as [string, () => unknown, string][])(
    "an invalid output %s is reported in one line: %#",
    (name, value, problem) => {
      const read = () => knownOutputs(TUTORIAL_NAME, { ...outputsOf(json, computed), [name]: value() });
      expect(read).toThrow(`the deployed ${TUTORIAL_NAME} has an invalid output: ${problem}`);
      expect(read).not.toThrow(/\n|PRIVATE KEY/);
    },
  );

  test("with an invalid output, no file is written", () => {
    synthesize({ ...outputsOf(json, computed), kubernetes_public_address: YAML });
    terraform("init");
    terraform("apply", "-auto-approve");
    expect(run(scratch, ...options())).toMatchObject({
      status: 2,
      stdout: "",
      stderr: `credentials: the deployed ${TUTORIAL_NAME} has an invalid output: kubernetes_public_address: must be a host name\n`,
    });
    expect(existsSync(out())).toBe(false);
  });

  test("if a machine cannot be reached, the check says whether the state has another address for it", () => {
    const outputs = outputsOf(json, computed);
    const local = (change: object) => ({
      ...Object.fromEntries(
        Object.entries(outputs.nodes as object).map(([name, node]) => [name, { ...node, public_ip: "127.0.0.1" }]),
      ),
      ...change,
    });
    const node = (index: number, public_ip: string) => ({
      [`${TUTORIAL_NAME}-worker-${index}`]: { private_ip: `172.31.0.2${index}`, public_ip },
    });
    const check = () => {
      const { stdout } = run(scratch, "check", "--nodes", "--json", ...options());
      const findings: { path: string; problems: string[] }[] = JSON.parse(stdout).findings;
      return findings
        .filter(({ path }) => path.startsWith(TUTORIAL_NAME))
        .map(
          ({ path, problems: [problem = ""] }) =>
            `${path.slice(TUTORIAL_NAME.length + 1)}${problem.replace(/^[^;]*/, "")}`,
        );
    };
    const masters = ["master-0", "master-1", "master-2"];
    synthesize({ ...outputs, nodes: local(node(2, "")) });
    terraform("init");
    terraform("apply", "-auto-approve");
    expect(run(scratch, ...options()).status).toBe(0);
    // The second part of the line of a stopped machine is not a hint.
    expect(check()).toEqual([...masters, "worker-0", "worker-1", "worker-2; it may be stopped"]);

    const { [`${TUTORIAL_NAME}-worker-1`]: _, ...nodes } = local({ ...node(0, "127.0.0.2"), ...node(2, "127.0.0.3") });
    synthesize({ ...outputs, nodes });
    terraform("apply", "-auto-approve");
    const remedy = "run `npm run credentials`";
    expect(check()).toEqual([
      ...masters,
      `worker-0; the address is not the state's, which has 127.0.0.2: ${remedy}`,
      `worker-1; the address is not the state's, which has no such machine: ${remedy}`,
      `worker-2; it may be stopped; the address is not the state's, which has 127.0.0.3: ${remedy}`,
    ]);

    // Without a state and without a synthesized stack, there is no hint.
    rmSync(join(scratch, "a.tfstate"));
    expect(check()).toEqual([...masters, "worker-0", "worker-1", "worker-2; it may be stopped"]);
    rmSync(join(scratch, "cdktf.out"), { recursive: true });
    expect(check()).toEqual([...masters, "worker-0", "worker-1", "worker-2; it may be stopped"]);
  });

  test("a backend that does not answer is reported in one line", () => {
    synthesize(outputsOf(json, computed), { http: { address: "http://127.0.0.1:1/state", retry_max: 0 } });
    const { status, stderr } = run(scratch, ...options());
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/^credentials: terraform: .*127\.0\.0\.1:1.*\n$/),
    });
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

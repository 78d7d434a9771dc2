import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resourcesOf } from "../../cloud/terraform-json";
import { UserError } from "../../model/user-error";
import { parseSettings } from "../../settings/load";
import { TUTORIAL } from "../../settings/presets";
import { settingsWarnings } from "../../settings/warnings";
import { synthesizeCluster } from "../../testing/synthesize";

/** The lines of the refusal; none if the settings are accepted. */
function refusal(input: unknown): string[] {
  try {
    parseSettings(input);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message.split("\n");
  }
}

const kubernetes = (more: object = {}) => ({ kubernetes: { version: "1.37.2", ...more } });

const types = (input: unknown) => {
  const { controlPlane, workers } = parseSettings(input);
  return [controlPlane.instanceType, workers.instanceType];
};

describe("versions", () => {
  const VERSION =
    "'kubernetes.version' must be a patch version of Kubernetes 1.35, 1.36 or 1.37, such as 1.37.2, got: ";

  test.each(["1.35.0", "1.36.10", "1.37.2"])("%s", (version) => {
    expect(parseSettings({ kubernetes: { version } }).kubernetes).toEqual({ version });
  });

  test.each<[unknown, string]>([
    ["1.34.5", `"1.34.5"`],
    ["1.38.0", `"1.38.0"`],
    ["1.37", `"1.37"`],
    ["v1.37.2", `"v1.37.2"`],
    ["1.37.2-rc.1", `"1.37.2-rc.1"`],
    ["1.37.2\n", `"1.37.2\\n"`],
    ["latest", `"latest"`],
    [1.37, "1.37"],
    [null, "null"],
  ])("not %j", (version, got) => {
    expect(refusal({ kubernetes: { version } })).toEqual([`${VERSION}${got}`]);
  });

  test("the version is required in its group", () => {
    expect(refusal({ kubernetes: {} })).toEqual([`${VERSION}nothing`]);
    expect(refusal({ kubernetes: null })).toEqual(["'kubernetes' must be an object of settings, got: null"]);
    expect(refusal({ kubernetes: "1.37.2" })).toEqual([`'kubernetes' must be an object of settings, got: "1.37.2"`]);
  });

  test.each(["etcd", "containerd", "runc", "cniPlugins", "coreDns"])("of %s", (component) => {
    const settings = kubernetes({ components: { [component]: "3.10.0" } });
    expect(parseSettings(settings).kubernetes).toEqual(settings.kubernetes);
    for (const version of ["v3.7.3", "3.7", "3.07.3", "3.7.3 ", "latest", "3.7.3-rc.0"]) {
      expect(refusal(kubernetes({ components: { [component]: version } }))).toEqual([
        `'kubernetes.components.${component}' must be a version of three numbers, such as 1.2.3, without v, got: "${version}"`,
      ]);
    }
  });

  test("not of other components", () => {
    expect(refusal(kubernetes({ components: { coredns: "1.15.0" } }))).toEqual([
      "'kubernetes.components.coredns' is not a setting, did you mean 'kubernetes.components.coreDns'? allowed: etcd, containerd, runc, cniPlugins, coreDns",
    ]);
  });
});

test("a misspelled name is reported before the setting that is missing because of it", () => {
  expect(refusal({ kubernetes: { verison: "1.37.2" } })).toEqual([
    expect.stringContaining("'kubernetes.verison' is not a setting, did you mean 'kubernetes.version'?"),
    expect.stringContaining("'kubernetes.version' must be "),
  ]);
});

describe("rolling updates", () => {
  test.each([1, 2, 200])("of %s workers at one time", (maxUnavailable) => {
    const settings = kubernetes({ rollingUpdate: { maxUnavailable } });
    expect(parseSettings(settings).kubernetes).toEqual(settings.kubernetes);
  });

  test.each([0, -1, 201, 1.5, "25%", "1", null])("not of %j", (maxUnavailable) => {
    expect(refusal(kubernetes({ rollingUpdate: { maxUnavailable } }))).toEqual([
      `'kubernetes.rollingUpdate.maxUnavailable' must be a whole number from 1 to 200, got: ${JSON.stringify(maxUnavailable)}`,
    ]);
  });

  test("no other setting", () => {
    expect(refusal(kubernetes({ rollingUpdate: { maxSurge: 1 } }))).toEqual([
      "'kubernetes.rollingUpdate.maxSurge' is not a setting, did you mean 'kubernetes.rollingUpdate.maxUnavailable'? allowed: maxUnavailable",
    ]);
  });
});

describe("mirrors", () => {
  const ADDRESS =
    "must be an http or https address of letters, digits and ._~-/, such as https://mirror.example.com/k8s, without user, query and slash at the end, got: ";

  test.each([
    "http://mirror.example.com",
    "https://mirror.example.com:8443/k8s/files",
    "http://198.51.100.1",
    "https://m/~a/b_c.d",
  ])("%s", (address) => {
    const settings = kubernetes({
      downloads: address,
      registryMirrors: { "registry.k8s.io": address, "registry.example.com:5000": address, "localhost:5000": address },
    });
    expect(parseSettings(settings).kubernetes).toEqual(settings.kubernetes);
  });

  test.each([
    "mirror.example.com",
    "ftp://mirror.example.com",
    "http://mirror.example.com/",
    "http://mirror.example.com/a//b",
    "http://mirror.example.com/a/../b",
    "http://mirror.example.com/./b",
    "http://user:secret@mirror.example.com",
    "http://mirror.example.com?a=b",
    "http://mirror.example.com/a#b",
    "http://mirror.example.com:99999",
    "http://256.256.256.256",
    "http://mirror.example.com/a b",
    "http://mirror.example.com/$(id)",
    "http://mirror.example.com/a\nb",
    "http://mirror.example.com/%2e%2e",
    "http://",
    "",
  ])("not %j", (address) => {
    const got = JSON.stringify(address);
    expect(refusal(kubernetes({ downloads: address }))).toEqual([`'kubernetes.downloads' ${ADDRESS}${got}`]);
    expect(refusal(kubernetes({ registryMirrors: { "registry.k8s.io": address } }))).toEqual([
      `'kubernetes.registryMirrors.registry.k8s.io' ${ADDRESS}${got}`,
    ]);
  });

  test.each([
    "https://registry.k8s.io",
    "registry.k8s.io/coredns",
    "registry",
    "Registry.k8s.io",
    "../a.b",
    "",
    "a.b:x",
  ])("of no registry %j", (host) => {
    expect(refusal(kubernetes({ registryMirrors: { [host]: "http://198.51.100.1" } }))).toEqual([
      `'kubernetes.registryMirrors.${host}' must be a registry's host as in the names of its images, such as registry.k8s.io or registry.example.com:5000, got: "${host}"`,
    ]);
  });

  test("over http give a warning without checksums", () => {
    const safe = { access: { ssh: ["192.0.2.0/24"] }, serviceNetwork: { cidrBlock: "10.32.0.0/24" } };
    const warnings = (more: object) => settingsWarnings(parseSettings({ ...safe, ...kubernetes(more) }));
    const http = { downloads: "http://198.51.100.1", registryMirrors: { "registry.k8s.io": "http://198.51.100.1" } };
    expect(warnings(http)).toEqual(
      ["downloads", "registryMirrors.registry.k8s.io"].map(
        (name) =>
          `'kubernetes.${name}' is http://198.51.100.1: over http, files and images can be changed on the way unless 'kubernetes.checksums' has their sums`,
      ),
    );
    expect(warnings({ ...http, checksums: checksumsFile("{}") })).toEqual([]);
    expect(warnings({ downloads: "https://mirror.example.com" })).toEqual([]);
    expect(warnings({})).toEqual([]);
  });
});

const folder = mkdtempSync(join(tmpdir(), "checksums-"));
afterAll(() => rmSync(folder, { recursive: true }));

function checksumsFile(content: string): string {
  const path = join(folder, "checksums.json");
  writeFileSync(path, content);
  return path;
}

describe("checksums", () => {
  const SUM = "0123456789abcdef".repeat(4);
  const KUBELET = "dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet";
  const PAUSE = "registry.k8s.io/pause:3.10.2";
  const inFile = (content: string) => refusal(kubernetes({ checksums: checksumsFile(content) }));

  test("after loading, the setting is the content of the file", () => {
    const content = {
      [KUBELET]: SUM,
      [PAUSE]: `sha256:${SUM}`,
      "localhost:5000/a/b": SUM,
      "a.b:1/c:d": `sha256:${SUM}`,
    };
    const checksums = checksumsFile(JSON.stringify(content));
    expect(parseSettings(kubernetes({ checksums })).kubernetes?.checksums).toEqual(content);
  });

  test("a relative path begins in the working directory", () => {
    expect(refusal(kubernetes({ checksums: "package.json" }))[0]).toMatch(
      /^'kubernetes.checksums' must be a file whose keys/,
    );
  });

  test.each<[unknown, string]>([
    [5, "5"],
    [{ [KUBELET]: SUM }, `{"${KUBELET}":"${SUM}"}`],
    [null, "null"],
  ])("not %j instead of a path", (checksums, got) => {
    expect(refusal(kubernetes({ checksums }))).toEqual([
      `'kubernetes.checksums' must be the path of a JSON file with an object of sums and digests, got: ${got}`,
    ]);
  });

  test("not from a missing file", () => {
    expect(refusal(kubernetes({ checksums: "no/such.json" }))).toEqual([
      `'kubernetes.checksums' must be the path of a JSON file, got: "no/such.json" (ENOENT: no such file or directory, open 'no/such.json')`,
    ]);
  });

  test("not from a folder", () => {
    expect(refusal(kubernetes({ checksums: folder }))).toEqual([
      `'kubernetes.checksums' must be the path of a JSON file, got: "${folder}" (EISDIR: illegal operation on a directory, read)`,
    ]);
  });

  test("not from a file that is no JSON", () => {
    expect(inFile(`{\n  "${KUBELET}": ${SUM}\n}`)).toEqual([
      `'kubernetes.checksums' must be the path of a JSON file, got: "${folder}/checksums.json" (line 2, column 49: comma expected)`,
    ]);
  });

  test("not from a file with a key twice", () => {
    expect(inFile(`{"${PAUSE}": "sha256:${SUM}",\n"${PAUSE}": "sha256:${SUM}"}`)).toEqual([
      `'${PAUSE}' must be given once, got: a second time in ${folder}/checksums.json, line 2, column 1`,
    ]);
  });

  test.each(["[]", "null", `"${SUM}"`])("not from a file with %s", (content) => {
    expect(inFile(content)).toEqual([
      `'kubernetes.checksums' must be the path of a JSON file with an object of sums and digests, got: "${folder}/checksums.json" (it has no object)`,
    ]);
  });

  test.each<[string, unknown, string]>([
    [KUBELET, SUM.toUpperCase(), "a SHA-256 of 64 lower-case hexadecimal digits"],
    [KUBELET, SUM.slice(1), "a SHA-256 of 64 lower-case hexadecimal digits"],
    [KUBELET, `sha256:${SUM}`, "a SHA-256 of 64 lower-case hexadecimal digits"],
    [KUBELET, 5, "a SHA-256 of 64 lower-case hexadecimal digits"],
    [PAUSE, SUM, "sha256: and 64 lower-case hexadecimal digits"],
    [PAUSE, `sha512:${SUM}`, "sha256: and 64 lower-case hexadecimal digits"],
    [PAUSE, null, "sha256: and 64 lower-case hexadecimal digits"],
  ])("not for %s: %j", (key, value, allowed) => {
    expect(inFile(JSON.stringify({ [key]: value }))).toEqual([
      `'kubernetes.checksums.${key}' must be ${allowed}, got: ${JSON.stringify(value)}`,
    ]);
  });

  test.each(["kubelet", `https://${KUBELET}`, `${PAUSE}@sha256:${SUM}`, "", "__proto__", "/etc/passwd", "a b/c"])(
    "not for the key %j",
    (key) => {
      expect(inFile(`{"${key}":"${SUM}"}`)).toEqual([
        `'kubernetes.checksums' must be a file whose keys are addresses of release files without https:// and images with their tag, such as ${KUBELET} and ${PAUSE}, got: "${key}"`,
      ]);
    },
  );

  test("each problem has its line, beside those of other settings", () => {
    const checksums = checksumsFile(JSON.stringify({ [KUBELET]: "a", [PAUSE]: "b" }));
    const lines = refusal({ name: "-", kubernetes: { version: "1.0.0", checksums } });
    expect(lines.map((line) => line.split("'")[1])).toEqual([
      "name",
      "kubernetes.version",
      `kubernetes.checksums.${KUBELET}`,
      `kubernetes.checksums.${PAUSE}`,
    ]);
  });
});

describe("machines", () => {
  test("have 2 GiB by default, with Kubernetes only", () => {
    expect(types(kubernetes())).toEqual(["t3.small", "t3.small"]);
    expect(types({})).toEqual(["t2.micro", "t2.micro"]);
    expect(types({ kubernetes: undefined })).toEqual(["t2.micro", "t2.micro"]);
  });

  test("have the type that is given", () => {
    expect(types({ ...kubernetes(), workers: { instanceType: "m5.large" } })).toEqual(["t3.small", "m5.large"]);
    expect(types({ ...kubernetes(), controlPlane: { instanceType: "new7.pico", count: 1 } })).toEqual([
      "new7.pico",
      "t3.small",
    ]);
  });

  const TYPE = "must be an instance type with at least 2 GiB of memory when 'kubernetes' is set, such as t3.small:";

  test.each([
    ["t2.micro", 1],
    ["t2.nano", 0.5],
    ["t3.micro", 1],
    ["t3.nano", 0.5],
    ["t3a.micro", 1],
    ["t3a.nano", 0.5],
    ["t1.micro", 0.613],
    ["m1.small", 1.7],
    ["c1.medium", 1.7],
  ])("have more memory than %s", (instanceType, gib) => {
    const small = { controlPlane: { instanceType }, workers: { instanceType } };
    expect(refusal({ ...kubernetes(), ...small })).toEqual([
      `'controlPlane.instanceType' ${TYPE} ${instanceType} has ${gib} GiB, got: "${instanceType}"`,
      `'workers.instanceType' ${TYPE} ${instanceType} has ${gib} GiB, got: "${instanceType}"`,
    ]);
    expect(refusal(small)).toEqual([]);
    expect(refusal({ ...kubernetes(), workers: { instanceType, count: 0 } })).toEqual([]);
  });

  test("have no Arm processor, also with an image for it", () => {
    const workers = { instanceType: "t4g.small" };
    const image = { id: "ami-0123456789abcdef0" };
    expect(refusal({ ...kubernetes(), workers, image })).toEqual([
      `'workers.instanceType' must be an instance type with an x86_64 processor when 'kubernetes' is set, because its programs are downloaded for x86_64: t4g.small has an Arm processor, got: "t4g.small"`,
    ]);
    expect(refusal({ workers, image })).toEqual([]);
  });

  test("where there is no t2, the refusal names a type that is large enough", () => {
    expect(refusal({ ...kubernetes(), region: "eu-north-1", workers: { instanceType: "t2.small" } })).toEqual([
      `'workers.instanceType' must be an instance type that eu-north-1 has, such as t3.small: the family t2 is not in that region, got: "t2.small"`,
    ]);
    expect(refusal({ ...kubernetes(), region: "eu-north-1" })).toEqual([]);
  });

  test("have an image with cgroup v2", () => {
    expect(refusal({ ...kubernetes(), image: { release: "focal" } })).toEqual([
      `'image.release' must be one of jammy, noble when 'kubernetes' is set, because kubelet needs cgroup v2, got: "focal"`,
    ]);
    expect(refusal({ ...kubernetes(), image: { release: "jammy" } })).toEqual([]);
    expect(refusal({ image: { release: "focal" } })).toEqual([]);
  });
});

test("pods must reach each other across machines", () => {
  expect(refusal({ ...kubernetes(), podNetwork: { routed: false } })).toEqual([
    "'podNetwork.routed' must be true when 'kubernetes' is set, because pods must reach each other across machines, got: false",
  ]);
});

test("the service network has a tenth address", () => {
  const services = (cidrBlock: string) => ({ serviceNetwork: { cidrBlock } });
  expect(refusal({ ...kubernetes(), ...services("10.32.0.0/29") })).toEqual([
    `'serviceNetwork.cidrBlock' must be a CIDR of at most /28 when 'kubernetes' is set, because cluster DNS gets its tenth address, got: "10.32.0.0/29"`,
  ]);
  expect(refusal({ ...kubernetes(), ...services("10.32.0.0/28") })).toEqual([]);
  expect(refusal(services("10.32.0.0/29"))).toEqual([]);
});

test("without the setting, the settings are the tutorial's", () => {
  expect(parseSettings({})).toStrictEqual(TUTORIAL);
  expect(TUTORIAL).not.toHaveProperty("kubernetes");
});

test("the stack takes settings with Kubernetes", () => {
  const json = synthesizeCluster({ ...kubernetes(), workers: { count: 1 } });
  const types = Object.values(resourcesOf(json, "aws_instance")).map(({ instance_type }) => instance_type);
  expect(types).toEqual(["t3.small", "t3.small", "t3.small", "t3.small"]);
});

import { parse } from "yaml";
import { encryptionConfig } from "../../kubernetes/encryption-config";
import { apiServer, kubeconfig, kubeconfigUsers } from "../../kubernetes/kubeconfig";

const pem = (text: string) => Buffer.from(`-----BEGIN ${text}-----\n`).toString("base64");

const USUAL = {
  clusterName: "k8s-cluster-from-ground-up",
  server: "https://k8s-0123.elb.eu-central-1.amazonaws.com:6443",
  user: "system:kube-proxy",
  ca: pem("CERTIFICATE"),
  certificate: pem("CERTIFICATE of proxy"),
  key: pem("RSA PRIVATE KEY"),
};

/** Texts that would add a field, end a value or be another type than a text, if they were not quoted. */
const EVIL = [
  "a\nusers:\n- name: evil\n  user:\n    exec: {command: sh}",
  'a"\n    proxy-url: http://evil',
  "https://a:6443 # comment",
  "https://a:6443\n",
  "LS0tLS1CRUdJTi\n    tls-server-name: evil",
  "{exec: sh}",
  "[a]",
  "*alias",
  "!!binary a",
  "| \n a",
  "a: b",
  "\u0085a: b\u2028c: d",
  "'",
  "\\",
  "",
  "~",
  "no",
  "2024",
  "1e3",
  "0x1F",
  "key-",
];

test("a kubeconfig has the bytes of `kubectl config`, with names in quotes", () => {
  expect(kubeconfig(USUAL)).toBe(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${USUAL.ca}
    server: ${USUAL.server}
  name: "k8s-cluster-from-ground-up"
contexts:
- context:
    cluster: "k8s-cluster-from-ground-up"
    user: "system:kube-proxy"
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: "system:kube-proxy"
  user:
    client-certificate-data: ${USUAL.certificate}
    client-key-data: ${USUAL.key}
`);
});

test.each(["1.1", "1.2"] as const)(
  "no value of a kubeconfig can add a field, or be anything but a text, in YAML %s",
  (version) => {
    for (const evil of EVIL) {
      for (const field of Object.keys(USUAL)) {
        const props: typeof USUAL = { ...USUAL, [field]: evil };
        const { clusterName, server, user, ca, certificate, key } = props;
        expect(parse(kubeconfig(props), { version })).toEqual({
          apiVersion: "v1",
          kind: "Config",
          preferences: {},
          "current-context": "default",
          clusters: [{ name: clusterName, cluster: { server, "certificate-authority-data": ca } }],
          contexts: [{ name: "default", context: { cluster: clusterName, user } }],
          users: [{ name: user, user: { "client-certificate-data": certificate, "client-key-data": key } }],
        });
      }
    }
  },
);

test("an encryption config has name and key without quotes", () => {
  const key = { name: "key-0a1b2c3d", base64: Buffer.alloc(32, 1).toString("base64") };
  expect(encryptionConfig(key)).toBe(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: key-0a1b2c3d
        secret: ${key.base64}
  - identity: {}
`);
});

test.each(["1.1", "1.2"] as const)("no value of an encryption config can add a field, in YAML %s", (version) => {
  for (const evil of EVIL) {
    for (const field of ["name", "base64"]) {
      const key = { name: "key-0a1b2c3d", base64: Buffer.alloc(32).toString("base64"), [field]: evil } as {
        name: string;
        base64: string;
      };
      const [{ resources, providers }] = parse(encryptionConfig(key), { version }).resources;
      expect(resources).toEqual(["secrets"]);
      expect(providers).toEqual([{ aescbc: { keys: [{ name: key.name, secret: key.base64 }] } }, { identity: {} }]);
    }
  }
});

test("Terraform expressions stay as they are", () => {
  const expression = (text: string) => `$\{${text}}`;
  const key = expression('base64encode("a")');
  expect(kubeconfig({ ...USUAL, key })).toContain(`    client-key-data: ${key}\n`);
  const server = apiServer(expression("aws_lb.a.dns_name"));
  expect(kubeconfig({ ...USUAL, server })).toContain(`    server: ${server}\n`);
  const name = `key-${expression("substr(sha256(a), 0, 8)")}`;
  expect(encryptionConfig({ name, base64: key })).toContain(`      - name: ${name}\n        secret: ${key}\n`);
});

test("the users are all identities with a kubeconfig; those on control plane machines use the API server there", () => {
  const kubelet = { name: "lab-worker-0", hostname: "ip-10-0-0-20", ipAddresses: ["10.0.0.20"] };
  const users = kubeconfigUsers("lb.example", { apiServer: { dnsNames: [], ipAddresses: [] }, kubelets: [kubelet] });
  expect(users).toEqual([
    { fileName: "lab-worker-0", user: "system:node:ip-10-0-0-20", host: "lb.example" },
    { fileName: "kube-scheduler", user: "system:kube-scheduler", host: "127.0.0.1" },
    { fileName: "kube-proxy", user: "system:kube-proxy", host: "lb.example" },
    { fileName: "kube-controller-manager", user: "system:kube-controller-manager", host: "127.0.0.1" },
    { fileName: "admin", user: "admin", host: "lb.example" },
  ]);
  expect(apiServer("lb.example")).toBe("https://lb.example:6443");
});

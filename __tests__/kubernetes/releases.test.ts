import { image, imageTag, programsTable, type Release, releases } from "../../kubernetes/releases";
import { componentVersions } from "../../model/versions";

const V1_37 = componentVersions({ version: "1.37.2" });
const V1_36 = componentVersions({ version: "1.36.4" });
const SUM = "0123456789abcdef".repeat(4);

const dl = (name: string) => `dl.k8s.io/v1.37.2/bin/linux/amd64/${name}`;
const ETCD = "github.com/etcd-io/etcd/releases/download/v3.7.3";
const CONTAINERD = "github.com/containerd/containerd/releases/download/v2.4.2";
const RUNC = "github.com/opencontainers/runc/releases/download/v1.5.2";
const CNI = "github.com/containernetworking/plugins/releases/download/v1.9.1";

test("masters need etcd, the control plane and kubectl", () => {
  expect(
    programsTable(releases("master", V1_37)),
  ).toBe(`etcd 3.7.3 archive /usr/local/bin - https://${ETCD}/etcd-v3.7.3-linux-amd64.tar.gz https://${ETCD}/SHA256SUMS etcd-v3.7.3-linux-amd64/etcd etcd-v3.7.3-linux-amd64/etcdctl etcd-v3.7.3-linux-amd64/etcdutl
kube-apiserver 1.37.2 program /usr/local/bin - https://${dl("kube-apiserver")} https://${dl("kube-apiserver.sha256")} kube-apiserver
kube-controller-manager 1.37.2 program /usr/local/bin - https://${dl("kube-controller-manager")} https://${dl("kube-controller-manager.sha256")} kube-controller-manager
kube-scheduler 1.37.2 program /usr/local/bin - https://${dl("kube-scheduler")} https://${dl("kube-scheduler.sha256")} kube-scheduler
kubectl 1.37.2 program /usr/local/bin - https://${dl("kubectl")} https://${dl("kubectl.sha256")} kubectl
`);
});

test("workers need containerd, runc, CNI plugins, kubelet, kube-proxy and kubectl", () => {
  const sum = "b98f74a0f8522f0a83867178729c1aa70f2158f90c45a2ca8fa791db1c76b303";
  const cni = "cni-plugins-linux-amd64-v1.9.1.tgz";
  expect(
    programsTable(releases("worker", V1_37)),
  ).toBe(`containerd 2.4.2 archive /usr/local/bin - https://${CONTAINERD}/containerd-2.4.2-linux-amd64.tar.gz https://${CONTAINERD}/containerd-2.4.2-linux-amd64.tar.gz.sha256sum bin/containerd bin/containerd-shim-runc-v2 bin/ctr
runc 1.5.2 program /usr/local/bin - https://${RUNC}/runc.amd64 https://${RUNC}/runc.sha256sum runc
cni-plugins 1.9.1 archive /opt/cni/bin ${sum} https://${CNI}/${cni} https://${CNI}/${cni}.sha256 bridge host-local loopback portmap firewall
kubelet 1.37.2 program /usr/local/bin - https://${dl("kubelet")} https://${dl("kubelet.sha256")} kubelet
kube-proxy 1.37.2 program /usr/local/bin - https://${dl("kube-proxy")} https://${dl("kube-proxy.sha256")} kube-proxy
kubectl 1.37.2 program /usr/local/bin - https://${dl("kubectl")} https://${dl("kubectl.sha256")} kubectl
`);
});

test("a mirror has each file, and its sum, at HOST/PATH", () => {
  for (const role of ["master", "worker"] as const) {
    const usual = releases(role, V1_37);
    for (const [index, release] of releases(role, V1_37, { downloads: "http://mirror.example:8080/k8s" }).entries()) {
      const { path, url, sumUrl } = usual[index] as Release;
      expect(release.path).toBe(path);
      expect(release.url).toBe(`http://mirror.example:8080/k8s/${path}`);
      expect(release.url).toBe(url.replace("https:/", "http://mirror.example:8080/k8s"));
      expect(release.sumUrl).toBe(sumUrl.replace("https:/", "http://mirror.example:8080/k8s"));
    }
  }
});

test("known sums belong to the releases of the table, and given sums replace them", () => {
  const known = (role: "master" | "worker") =>
    releases(role, V1_36).flatMap(({ name, sha256 }) => (sha256 === undefined ? [] : [name]));
  expect(known("master")).toEqual(["etcd", "kubectl"]);
  expect(known("worker")).toEqual(["containerd", "runc", "cni-plugins", "kubelet", "kubectl"]);

  const checksums = { [dl("kubectl")]: SUM, "github.com/etcd-io/etcd/other": SUM };
  const given = releases("master", V1_37, { checksums }).map(({ sha256 }) => sha256);
  expect(given).toEqual([undefined, undefined, undefined, undefined, SUM]);
  const kubectl = "dl.k8s.io/v1.36.4/bin/linux/amd64/kubectl";
  expect(releases("master", V1_36, { checksums: { [kubectl]: SUM } }).at(-1)?.sha256).toBe(SUM);
});

test("images have their digest where it is known or given", () => {
  const pause = "sha256:f548e0e8e3dc1896ca956272154dde3314e8cc4fde0a57577ee9fa1c63f5baf4";
  expect(image("pause", V1_37)).toBe(`registry.k8s.io/pause:3.10.2@${pause}`);
  expect(image("coredns", V1_37)).toBe("registry.k8s.io/coredns/coredns:v1.15.0");
  expect(image("agnhost", V1_37)).toBe("registry.k8s.io/e2e-test-images/agnhost:2.66.1");
  expect(image("coredns", V1_36)).toMatch(/^registry\.k8s\.io\/coredns\/coredns:v1\.14\.2@sha256:[0-9a-f]{64}$/);

  const tag = imageTag("pause", V1_37);
  expect(tag).toBe("registry.k8s.io/pause:3.10.2");
  expect(image("pause", V1_37, { [tag]: `sha256:${SUM}` })).toBe(`${tag}@sha256:${SUM}`);
});

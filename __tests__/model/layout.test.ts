import { liveFiles, nodeFiles } from "../../model/layout";
import { installedFiles } from "../../testing/installed-files";
import { TUTORIAL_NAME } from "../../testing/tutorial";

/** The files that part 2 reads: mode and name in the home folder, the places to which it moves them, and the readers. */
const rows = (role: "master" | "worker") =>
  nodeFiles({ role, name: "lab-worker-0" }).map(
    ({ mode, fileName, places, readBy }) => `${mode} ${fileName} -> ${places.join(" ")} : ${readBy.join(" ")}`,
  );

test("a control plane machine has the files of etcd and the control plane", () => {
  expect(rows("master")).toEqual([
    "0644 ca.pem -> /var/lib/kubernetes/ca.pem /etc/etcd/ca.pem : etcd kube-apiserver kube-controller-manager",
    "0600 ca-key.pem -> /var/lib/kubernetes/ca-key.pem : kube-controller-manager",
    "0644 service-account.pem -> /var/lib/kubernetes/service-account.pem : kube-apiserver",
    "0600 service-account-key.pem -> /var/lib/kubernetes/service-account-key.pem : kube-apiserver kube-controller-manager",
    "0644 master-kubernetes.pem -> /var/lib/kubernetes/master-kubernetes.pem /etc/etcd/master-kubernetes.pem : etcd kube-apiserver",
    "0600 master-kubernetes-key.pem -> /var/lib/kubernetes/master-kubernetes-key.pem /etc/etcd/master-kubernetes-key.pem : etcd kube-apiserver",
    "0600 admin.kubeconfig ->  : ",
    "0600 kube-controller-manager.kubeconfig -> /var/lib/kubernetes/kube-controller-manager.kubeconfig : kube-controller-manager",
    "0600 kube-scheduler.kubeconfig -> /var/lib/kubernetes/kube-scheduler.kubeconfig : kube-scheduler",
    "0600 encryption-config.yaml -> /var/lib/kubernetes/encryption-config.yaml : kube-apiserver",
  ]);
});

test("a worker has the files of its kubelet and of kube-proxy, and no key of the control plane", () => {
  expect(rows("worker")).toEqual([
    "0644 ca.pem -> /var/lib/kubernetes/ca.pem : kubelet",
    "0644 lab-worker-0.pem -> /var/lib/kubelet/lab-worker-0.pem : kubelet",
    "0600 lab-worker-0-key.pem -> /var/lib/kubelet/lab-worker-0-key.pem : kubelet",
    "0600 kube-proxy.kubeconfig -> /var/lib/kube-proxy/kubeconfig : kube-proxy",
    "0600 lab-worker-0.kubeconfig -> /var/lib/kubelet/kubeconfig : kubelet",
  ]);
});

test.each(["master-0", "worker-1"])("where the apply installs Kubernetes, %s has its files in their places", (id) => {
  const role = id.startsWith("master") ? "master" : "worker";
  const files = liveFiles({ role, name: `${TUTORIAL_NAME}-${id}` });
  expect(files.map(({ path, mode, owner, readBy }) => [path, mode, owner, ...readBy].join(" "))).toEqual(
    installedFiles(id).map(({ path, mode, owner, readBy }) => [path, mode, owner, ...readBy].join(" ")),
  );
});

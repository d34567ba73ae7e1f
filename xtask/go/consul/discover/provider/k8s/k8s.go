// Package k8s has the name that Consul uses of the one it replaces.
package k8s

// Provider would be Kubernetes.
type Provider struct{}

// Package esapi has the names that Jaeger uses of the one it replaces.
package esapi

import "io"

// Indices has the call that Jaeger makes.
type Indices struct {
	PutIndexTemplate func(name string, body io.Reader) (*Response, error)
}

// Response is what such a call would give.
type Response struct {
	StatusCode int
	Body       io.ReadCloser
}

// Package discover stands where Consul imports what finds its servers in somebody's cloud. Our
// tests need one agent of which that is not asked, and the clients of all the clouds are a third of
// what would be compiled.
package discover

import (
	"errors"
	"log"
)

// Provider is what a cloud would be found by.
type Provider interface{}

// Providers has none.
var Providers = map[string]Provider{}

// Discover has the calls that Consul makes.
type Discover struct{}

// Option is of no effect.
type Option func(*Discover) error

// New gives what finds nothing.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// WithUserAgent is of no effect.
func WithUserAgent(string) Option { return nil }

// WithProviders is of no effect.
func WithProviders(map[string]Provider) Option { return nil }

// Addrs refuses: no cloud is known here.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) {
	return nil, errors.New("this Consul is built without clouds")
}

// Names has none.
func (*Discover) Names() []string { return nil }

// Measures Go kit's logger (`micro log`) or its Prometheus metrics (`micro
// metrics`), for the tables of benches/log.rs and benches/metrics.rs.
//
// It prints for each row its name, its allocations per call and its samples of
// nanoseconds per call, between tabs.
package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	kitprometheus "github.com/go-kit/kit/metrics/prometheus"
	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
)

// As many and as long as those of the rows in Rust.
const samples = 15

// What a call is about: variables, because the compiler boxes constants ahead of time.
var (
	method    = "greeter.Greeter/Greeting"
	code      = "OK"
	took      = 0.021
	peer      = "127.0.0.1:4711"
	requestID = "0af7651916cd43dd8448eb211c80319c"
	attempts  = 2
)

func main() {
	testing.Init()
	if err := flag.Set("test.benchtime", "20ms"); err != nil || len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "give log or metrics", err)
		os.Exit(2)
	}
	switch os.Args[1] {
	case "log":
		lines()
	case "metrics":
		calls()
	}
}

func row(name string, op func()) {
	var result testing.BenchmarkResult
	var nanos string
	for range samples {
		result = testing.Benchmark(func(b *testing.B) {
			for range b.N {
				op()
			}
		})
		nanos += fmt.Sprintf("\t%.1f", float64(result.T.Nanoseconds())/float64(result.N))
	}
	fmt.Printf("%s\t%d%s\n", name, result.AllocsPerOp(), nanos)
}

func lines() {
	logger := log.With(log.NewLogfmtLogger(log.NewSyncWriter(io.Discard)), "ts", log.DefaultTimestampUTC)
	line := func(logger log.Logger) func() {
		return func() {
			logger.Log("method", method, "code", code, "took_ms", took, "peer", peer,
				"request_id", requestID, "attempts", attempts)
		}
	}
	row("Go kit, logfmt", line(logger))
	row("Go kit, logfmt, with its caller", line(log.With(logger, "caller", log.DefaultCaller)))
	text := slog.New(slog.NewTextHandler(io.Discard, nil))
	row("slog, text", func() {
		text.Info("call", "method", method, "code", code, "took_ms", took, "peer", peer,
			"request_id", requestID, "attempts", attempts)
	})
}

func calls() {
	labels := []string{"method", "code"}
	counter := kitprometheus.NewCounterFrom(prometheus.CounterOpts{Name: "calls_total"}, labels)
	histogram := kitprometheus.NewHistogramFrom(prometheus.HistogramOpts{Name: "took_seconds"}, labels)
	gauge := kitprometheus.NewGaugeFrom(prometheus.GaugeOpts{Name: "in_flight"}, labels[:1])
	row("Go kit: counter, histogram and in-flight, With per call", func() {
		flying := gauge.With("method", method)
		flying.Add(1)
		histogram.With("method", method, "code", code).Observe(took)
		counter.With("method", method, "code", code).Add(1)
		flying.Add(-1)
	})
	flying := gauge.With("method", method)
	observed := histogram.With("method", method, "code", code)
	counted := counter.With("method", method, "code", code)
	row("Go kit: counter, histogram and in-flight, labels bound once", func() {
		flying.Add(1)
		observed.Observe(took)
		counted.Add(1)
		flying.Add(-1)
	})
}

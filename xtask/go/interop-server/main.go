// The gRPC project's interoperability test service on an address of the caller's choice, with
// health and reflection beside it. The server that grpc-go ships listens on every address and
// cannot be told otherwise.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
)

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, interop.NewTestServer())
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	fmt.Printf("listening on %s\n", listener.Addr())
	return server.Serve(listener)
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen; with port 0 the first line of output says where")
	untilEOF := flag.Bool("until-eof", false, "end when standard input does, so that no crashed test leaves us behind")
	flag.Parse()
	if *untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	if err := serve(*address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

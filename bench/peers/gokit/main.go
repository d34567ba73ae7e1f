// A Go kit greeter to measure against: bare, or with the middlewares that Go
// kit's own example wires.
//
// It listens on the addresses given, prints `listening ADDRESS` for each, and
// exits when its standard input ends, so that it never outlives the runner.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-kit/kit/circuitbreaker"
	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/metrics"
	kitprometheus "github.com/go-kit/kit/metrics/prometheus"
	"github.com/go-kit/kit/ratelimit"
	kitgrpc "github.com/go-kit/kit/transport/grpc"
	kithttp "github.com/go-kit/kit/transport/http"
	"github.com/go-kit/log"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sony/gobreaker"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	"gokit-greeter/pb"
)

func main() {
	httpAddr := flag.String("http", "", "address to serve HTTP on, for example 127.0.0.1:0")
	grpcAddr := flag.String("grpc", "", "address to serve gRPC on")
	full := flag.Bool("full", false, "wire limiter, breaker, two log lines and metrics round the call")
	logTo := flag.String("log", "/dev/null", "file that the log lines go to")
	flag.Parse()

	if err := run(*httpAddr, *grpcAddr, *full, *logTo); err != nil {
		fmt.Fprintln(os.Stderr, "gokit-greeter:", err)
		os.Exit(1)
	}
}

func run(httpAddr, grpcAddr string, full bool, logTo string) error {
	if httpAddr == "" && grpcAddr == "" {
		return errors.New("give -http or -grpc")
	}
	var service Service = greeter{}
	greeting := makeGreeting(service)
	if full {
		file, err := os.OpenFile(logTo, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		logger := log.NewLogfmtLogger(log.NewSyncWriter(file))
		logger = log.With(logger, "ts", log.DefaultTimestampUTC, "caller", log.DefaultCaller)
		greeting = wire(service, logger)
	}

	ended := make(chan error, 3)
	if httpAddr != "" {
		listener, err := listen(httpAddr)
		if err != nil {
			return err
		}
		go func() { ended <- http.Serve(listener, newHTTPHandler(greeting, full)) }()
	}
	if grpcAddr != "" {
		listener, err := listen(grpcAddr)
		if err != nil {
			return err
		}
		server := grpc.NewServer(grpc.UnaryInterceptor(kitgrpc.Interceptor))
		pb.RegisterGreeterServer(server, newGRPCServer(greeting))
		go func() { ended <- server.Serve(listener) }()
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	return <-ended
}

func listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		fmt.Println("listening", listener.Addr())
	}
	return listener, err
}

// Service is the business.
type Service interface {
	Greeting(ctx context.Context, name string) (string, error)
}

type greeter struct{}

func (greeter) Greeting(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

type request struct{ Name string }

type response struct {
	Greeting string `json:"greeting"`
}

func makeGreeting(service Service) endpoint.Endpoint {
	return func(ctx context.Context, in interface{}) (interface{}, error) {
		greeting, err := service.Greeting(ctx, in.(request).Name)
		return response{greeting}, err
	}
}

// wire puts what Go kit's addsvc example has round the service and the endpoint.
func wire(service Service, logger log.Logger) endpoint.Endpoint {
	calls := kitprometheus.NewCounterFrom(prometheus.CounterOpts{
		Name: "greeter_calls_total", Help: "Calls by method and success.",
	}, []string{"method", "success"})
	duration := kitprometheus.NewHistogramFrom(prometheus.HistogramOpts{
		Name: "greeter_duration_seconds", Help: "Call duration by method and success.",
	}, []string{"method", "success"})

	service = loggedService{service, logger}
	service = countedService{service, calls}
	greeting := makeGreeting(service)
	greeting = ratelimit.NewErroringLimiter(rate.NewLimiter(rate.Limit(1e9), 1e6))(greeting)
	greeting = circuitbreaker.Gobreaker(gobreaker.NewCircuitBreaker(gobreaker.Settings{}))(greeting)
	greeting = logged(log.With(logger, "method", "Greeting"))(greeting)
	return timed(duration.With("method", "Greeting"))(greeting)
}

type loggedService struct {
	Service
	logger log.Logger
}

func (s loggedService) Greeting(ctx context.Context, name string) (greeting string, err error) {
	defer func() {
		s.logger.Log("method", "Greeting", "name", name, "greeting", greeting, "err", err)
	}()
	return s.Service.Greeting(ctx, name)
}

type countedService struct {
	Service
	calls metrics.Counter
}

func (s countedService) Greeting(ctx context.Context, name string) (string, error) {
	greeting, err := s.Service.Greeting(ctx, name)
	s.calls.With("method", "Greeting", "success", fmt.Sprint(err == nil)).Add(1)
	return greeting, err
}

func logged(logger log.Logger) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in interface{}) (out interface{}, err error) {
			defer func(begin time.Time) {
				logger.Log("transport_error", err, "took", time.Since(begin))
			}(time.Now())
			return next(ctx, in)
		}
	}
}

func timed(duration metrics.Histogram) endpoint.Middleware {
	return func(next endpoint.Endpoint) endpoint.Endpoint {
		return func(ctx context.Context, in interface{}) (out interface{}, err error) {
			defer func(begin time.Time) {
				duration.With("success", fmt.Sprint(err == nil)).Observe(time.Since(begin).Seconds())
			}(time.Now())
			return next(ctx, in)
		}
	}
}

func newHTTPHandler(greeting endpoint.Endpoint, full bool) http.Handler {
	router := mux.NewRouter()
	router.Methods("GET").Path("/greeting").Handler(kithttp.NewServer(
		greeting, decodeHTTP, encodeHTTP))
	if full {
		router.Methods("GET").Path("/metrics").Handler(promhttp.Handler())
	}
	return router
}

func decodeHTTP(_ context.Context, r *http.Request) (interface{}, error) {
	return request{r.URL.Query().Get("name")}, nil
}

func encodeHTTP(_ context.Context, w http.ResponseWriter, out interface{}) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(out)
}

type grpcServer struct {
	pb.UnimplementedGreeterServer
	greeting kitgrpc.Handler
}

func newGRPCServer(greeting endpoint.Endpoint) *grpcServer {
	return &grpcServer{greeting: kitgrpc.NewServer(greeting, decodeGRPC, encodeGRPC)}
}

func (s *grpcServer) Greeting(ctx context.Context, in *pb.GreetingRequest) (*pb.GreetingReply, error) {
	_, out, err := s.greeting.ServeGRPC(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.(*pb.GreetingReply), nil
}

func decodeGRPC(_ context.Context, in interface{}) (interface{}, error) {
	return request{in.(*pb.GreetingRequest).Name}, nil
}

func encodeGRPC(_ context.Context, out interface{}) (interface{}, error) {
	return &pb.GreetingReply{Greeting: out.(response).Greeting}, nil
}

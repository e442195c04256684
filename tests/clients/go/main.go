// A Go client of the mesh: whole answers, streams, cancelling and error details, by the generated code alone.
//
//	client ADDRESS SERVER_NAME IDENTITY_FOLDER MODEL SLOW_MODEL
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	inferencev1 "nexus.internal/protos/inference/v1"
	typesv1 "nexus.internal/protos/types/v1"
)

type client struct {
	stub        inferencev1.InferenceServiceClient
	model, slow string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return errors.New("usage: client ADDRESS SERVER_NAME IDENTITY_FOLDER MODEL SLOW_MODEL")
	}
	secure, err := identity(args[2], args[1])
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(secure))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	mine := client{inferencev1.NewInferenceServiceClient(conn), args[3], args[4]}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"complete", mine.complete},
		{"stream", mine.stream},
		{"cancel", mine.cancel},
		{"error details", mine.details},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("held:", step.name)
	}
	return nil
}

// identity is mutual TLS by a certificate of the mesh.
func identity(folder, serverName string) (credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return nil, err
	}
	bundle, err := os.ReadFile(filepath.Join(folder, "bundle.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own}, RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS13,
	}), nil
}

func envelope(model string) *inferencev1.Envelope {
	return &inferencev1.Envelope{
		Operation: typesv1.Operation_OPERATION_CHAT,
		Model:     model,
		Body:      `{"messages": [{"role": "user", "content": "hi"}]}`,
	}
}

func (c client) complete(ctx context.Context) error {
	answer, err := c.stub.Complete(ctx, &inferencev1.CompleteRequest{Envelope: envelope(c.model)})
	if err != nil {
		return err
	}
	var body struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	if err := json.Unmarshal([]byte(answer.GetBody()), &body); err != nil {
		return err
	}
	if len(body.Choices) != 1 || body.Choices[0].Message.Content == "" || answer.GetServed().GetBackend() == "" {
		return fmt.Errorf("no answer in %v", answer)
	}
	return nil
}

func (c client) stream(ctx context.Context) error {
	stream, err := c.stub.Stream(ctx, &inferencev1.StreamRequest{Envelope: envelope(c.model)})
	if err != nil {
		return err
	}
	var text strings.Builder
	finished := false
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		finished = message.GetFinish() != nil
		for _, chunk := range message.GetChunks().GetJson() {
			text.WriteString(chunk)
		}
	}
	if !finished || !strings.Contains(text.String(), "content") {
		return fmt.Errorf("finished %v after %q", finished, text.String())
	}
	return nil
}

func (c client) cancel(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.stub.Stream(ctx, &inferencev1.StreamRequest{Envelope: envelope(c.slow)})
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	cancel()
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	if status.Code(err) != codes.Canceled {
		return fmt.Errorf("ended by %w", err)
	}
	return nil
}

func (c client) details(ctx context.Context) error {
	_, err := c.stub.Complete(ctx, &inferencev1.CompleteRequest{Envelope: envelope("no-such-model")})
	if status.Code(err) != codes.NotFound {
		return fmt.Errorf("not found expected, got %w", err)
	}
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if ok && info.GetDomain() == "nexus" && info.GetReason() == "MODEL_NOT_FOUND" && info.GetMetadata()["param"] == "model" {
			return nil
		}
	}
	return fmt.Errorf("no ErrorInfo in %v", status.Convert(err).Details())
}

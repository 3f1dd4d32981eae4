// A worker that decides items, and a web server with limits, over the Go client redigo.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
)

// connectTo answers what opens connections to a server. Nothing on them waits longer than two seconds, but for what says so itself.
func connectTo(url string) func() (redis.Conn, error) {
	limit := 2 * time.Second
	return func() (redis.Conn, error) {
		return redis.DialURL(url, redis.DialConnectTimeout(limit), redis.DialReadTimeout(limit), redis.DialWriteTimeout(limit))
	}
}

// judge is what a worker is for: the verdict on a text.
func judge(_ context.Context, payload []byte) (string, error) {
	if strings.Contains(strings.ToLower(string(payload)), "buy now") {
		return "remove", nil
	}
	return "keep", nil
}

func main() {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		url = "redis://127.0.0.1:6379"
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	pool := &redis.Pool{Dial: connectTo(url), MaxIdle: 10}

	switch command := strings.Join(os.Args[1:], " "); command {
	case "work":
		worker := Worker{Pool: pool, Queue: "review", Moderator: "bot:" + newID(), Lock: 30 * time.Second, Beat: 10 * time.Second, Block: 5 * time.Second, Judge: judge}
		worker.Run(ctx)
	case "serve":
		limiter := Limiter{Pool: pool, Limits: []Limit{{5, 10 * time.Second}, {100, time.Hour}}, Patience: 250 * time.Millisecond}
		hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello\n")) })
		server := &http.Server{Addr: "127.0.0.1:8080", Handler: limiter.Wrap(hello), ReadHeaderTimeout: 10 * time.Second}
		go func() {
			<-ctx.Done()
			_ = server.Close()
		}()
		log.Print(server.ListenAndServe())
	default:
		log.Fatal("go run . work|serve")
	}
}

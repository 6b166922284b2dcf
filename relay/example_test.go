package relay_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/peephole-cam/peephole/relay"
)

// runRelay serves this machine until ctx ends.
func runRelay(ctx context.Context, ready func(url string)) error {
	r, err := relay.New(relay.Config{
		Listen: "127.0.0.1:0", // signaling and the web page
		TURN:   "127.0.0.1:0",
	})
	if err != nil {
		return err
	}
	ready(r.URL())

	return r.Run(ctx)
}

// A relay inside another program.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- runRelay(ctx, func(url string) { urls <- url }) }()

	response, err := http.Get(<-urls)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	page, err := io.ReadAll(response.Body)
	fmt.Println("the page:", response.Status, len(page) > 0, err)
	cancel()
	fmt.Println("the end:", <-ended)
	// Output:
	// the page: 200 OK true <nil>
	// the end: <nil>
}

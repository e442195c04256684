// One answer whole and one as it comes. The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY by itself.
//
//	go run . MODEL
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . MODEL")
	}
	ctx, client, model := context.Background(), openai.NewClient(), os.Args[1]

	var response *http.Response
	answer, err := client.Chat.Completions.New(ctx, ask(model, "Name one moon of Saturn."), option.WithResponseInto(&response))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)
	fmt.Printf("[%s: %s]\n", response.Header.Get("X-Nexus-Backend"), response.Header.Get("X-Nexus-Route-Reason"))

	stream := client.Chat.Completions.NewStreaming(ctx, ask(model, "Count from one to five."))
	defer stream.Close()
	for stream.Next() {
		if chunk := stream.Current(); len(chunk.Choices) > 0 {
			fmt.Print(chunk.Choices[0].Delta.Content)
		}
	}
	fmt.Println()
	if err := stream.Err(); err != nil { // a stream that was cut never looks whole
		log.Fatal(err)
	}
}

func ask(model, prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

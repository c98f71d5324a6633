// Reads a history of reads and swaps of one register, one JSON object a line, and says whether some
// order of them explains what everybody saw. Exit codes: 0 yes, 1 no, 3 not known in time.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// A swap sets the register to Value and saw Saw before; a read saw Saw. Known says whether what was
// seen is known: nobody may have lived to tell.
type operation struct {
	Process  int    `json:"process"`
	Swap     bool   `json:"swap"`
	Value    string `json:"value"`
	Known    bool   `json:"known"`
	Saw      string `json:"saw"`
	Called   int64  `json:"called"`
	Returned int64  `json:"returned"`
}

func main() {
	var history []porcupine.Operation
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one operation
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		history = append(history, porcupine.Operation{
			ClientId: one.Process, Input: one, Output: one, Call: one.Called, Return: one.Returned,
		})
	}
	model := porcupine.Model{
		Init: func() interface{} { return "" },
		Step: func(state, input, _ interface{}) (bool, interface{}) {
			one := input.(operation)
			explained := !one.Known || one.Saw == state.(string)
			if one.Swap {
				return explained, one.Value
			}
			return explained, state
		},
	}
	switch porcupine.CheckOperationsTimeout(model, history, 2*time.Minute) {
	case porcupine.Ok:
		fmt.Printf("%d operations are linearizable\n", len(history))
	case porcupine.Illegal:
		fmt.Printf("%d operations are not linearizable\n", len(history))
		os.Exit(1)
	default:
		fmt.Printf("%d operations: not known in time\n", len(history))
		os.Exit(3)
	}
}

package main

import (
	"fmt"
	"maps"
	"slices"
)

const graphHeader = "| graph | rooms | floors | arrows | arrows up | circles |\n|---|---|---|---|---|---|\n"

// graph has an arrow from each room to every room that it uses. Each room has an entry.
type graph map[string]map[string]bool

func (g graph) addRoom(room string) {
	if g[room] == nil {
		g[room] = make(map[string]bool)
	}
}

func (g graph) addArrow(from, to string) {
	g.addRoom(from)
	g.addRoom(to)
	if from != to {
		g[from][to] = true
	}
}

// namedGraph is one that the table shows.
type namedGraph struct {
	name string
	graph
}

// String returns a row of the table under graphHeader. Arrows up are those that would have to go so that no circle is
// left: as few as a search finds. Floors count the rooms on the longest way down without them.
func (g namedGraph) String() string {
	arrows := 0
	for _, to := range g.graph {
		arrows += len(to)
	}
	order := g.order()
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d |",
		g.name, len(g.graph), g.floors(order), arrows, g.arrowsUp(order), len(g.circles()))
}

// circles returns the sets of rooms that all reach each other, each sorted.
func (g graph) circles() [][]string {
	out := g.components()
	return slices.DeleteFunc(out, func(c []string) bool { return len(c) == 1 })
}

// components returns the strongly connected components of g, users after what they use (Tarjan's algorithm).
func (g graph) components() (out [][]string) {
	index, low, onStack := make(map[string]int), make(map[string]int), make(map[string]bool)
	var stack []string
	var visit func(room string)
	visit = func(room string) {
		index[room] = len(index) + 1
		low[room] = index[room]
		stack = append(stack, room)
		onStack[room] = true

		for to := range g[room] {
			if index[to] == 0 {
				visit(to)
				low[room] = min(low[room], low[to])
			} else if onStack[to] {
				low[room] = min(low[room], index[to])
			}
		}

		if low[room] != index[room] {
			return
		}
		i := slices.Index(stack, room)
		for _, r := range stack[i:] {
			onStack[r] = false
		}
		component := slices.Clone(stack[i:])
		slices.Sort(component)
		out = append(out, component)
		stack = stack[:i]
	}

	for _, room := range slices.Sorted(maps.Keys(g)) {
		if index[room] == 0 {
			visit(room)
		}
	}
	return out
}

// order puts the rooms in an order, users before what they use, against which few arrows run: it begins with the
// circles in order, then moves single rooms to better places until no move helps.
func (g graph) order() []string {
	var order []string
	for _, c := range slices.Backward(g.components()) {
		order = append(order, c...)
	}

	for improved := true; improved; {
		improved = false
		for _, room := range slices.Clone(order) {
			if g.moveToBestPlace(order, room) {
				improved = true
			}
		}
	}
	return order
}

// moveToBestPlace moves a room within order to where the fewest arrows run up, and reports whether there are fewer now.
func (g graph) moveToBestPlace(order []string, room string) bool {
	at := slices.Index(order, room)
	best, bestChange := at, 0
	for _, step := range []int{1, -1} {
		change := 0
		for i := at + step; i >= 0 && i < len(order); i += step {
			change += step * (arrow(g, room, order[i]) - arrow(g, order[i], room))
			if change < bestChange {
				best, bestChange = i, change
			}
		}
	}
	if best == at {
		return false
	}

	copy(order, slices.Insert(slices.Delete(slices.Clone(order), at, at+1), best, room))
	return true
}

// arrow returns 1 if there is an arrow, else 0.
func arrow(g graph, from, to string) int {
	if g[from][to] {
		return 1
	}
	return 0
}

// arrowsUp counts the arrows that lead to a room earlier in order.
func (g graph) arrowsUp(order []string) (up int) {
	for i, room := range order {
		for _, earlier := range order[:i] {
			up += arrow(g, room, earlier)
		}
	}
	return up
}

// floors counts the rooms on the longest way down, arrows up left out.
func (g graph) floors(order []string) int {
	floor := make(map[string]int)
	top := 0
	for i, room := range slices.Backward(order) {
		floor[room] = 1
		for _, later := range order[i+1:] {
			if g[room][later] {
				floor[room] = max(floor[room], floor[later]+1)
			}
		}
		top = max(top, floor[room])
	}
	return top
}

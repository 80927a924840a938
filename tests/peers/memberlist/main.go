// A gossip node on the memberlist release that MetalLB pins, driven by tests.
//
// It prints one JSON object a line on stdout: what memberlist's event delegate reports, answers to
// the commands it reads on stdin, and the library's own warnings. It ends at end of input.
//
// Commands, one a line:
//
//	members             {"event":"members", "members":{name: "ADDRESS:PORT"}}
//	owners              {"event":"owners", "owners":{vip: node}}, by MetalLB's rule, see owners()
//	health              {"event":"health", "health":n}
//	join HOST:PORT      {"event":"joined", "count":n} or {"event":"join_failed"}
//	send NODE TEXT      user message in one datagram
//	reliable NODE TEXT  user message over a stream
//	pings NODE COUNT    {"event":"pinged", "answered":n, "failed":n}, one after the other
//	pushpulls ADDR COUNT  {"event":"exchanged", "answered":n, "failed":n}, likewise
//	updates COUNT       new meta data COUNT times, each gossiped: {"event":"updated", "failed":n}
//	leave               leave the ring, {"event":"leave_done"}; the process goes on answering
//	quit                shut down without leaving
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, ",") }
func (l *stringList) Set(v string) error { *l = append(*l, v); return nil }

var stdout sync.Mutex

func emit(event string, fields map[string]any) {
	line := map[string]any{"event": event}
	for key, value := range fields {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	stdout.Lock()
	defer stdout.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// logLines turns what the library logs at WARN and ERR into events.
type logLines struct{}

func (logLines) Write(p []byte) (int, error) {
	for _, line := range bytes.Split(bytes.TrimSpace(p), []byte{'\n'}) {
		for _, level := range []string{"ERR", "WARN"} {
			if bytes.Contains(line, []byte("["+level+"]")) {
				emit("log", map[string]any{"level": level, "text": string(line)})
			}
		}
	}
	return len(p), nil
}

type events struct{ changed chan struct{} }

func (e events) tell(event string, node *memberlist.Node) {
	emit(event, map[string]any{"node": node.Name, "address": node.Addr.String(), "port": node.Port,
		"meta": hex.EncodeToString(node.Meta), "at": float64(time.Now().UnixNano()) / 1e9})
	select {
	case e.changed <- struct{}{}:
	default:
	}
}
func (e events) NotifyJoin(node *memberlist.Node)   { e.tell("join", node) }
func (e events) NotifyLeave(node *memberlist.Node)  { e.tell("leave", node) }
func (e events) NotifyUpdate(node *memberlist.Node) { e.tell("update", node) }

// delegate carries user messages and user state; MetalLB's nodes have none.
type delegate struct{ state string }

// metaSerial counts the updates of our meta data.
var metaSerial atomic.Int64

func (d delegate) NodeMeta(int) []byte {
	if serial := metaSerial.Load(); serial > 0 {
		return []byte("meta " + strconv.FormatInt(serial, 10))
	}
	return nil
}
func (d delegate) NotifyMsg(payload []byte) {
	emit("user", map[string]any{"payload": hex.EncodeToString(payload)})
}
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return []byte(d.state) }
func (d delegate) MergeRemoteState(state []byte, join bool) {
	emit("state", map[string]any{"payload": hex.EncodeToString(state), "join": join})
}

// secretKey is MetalLB's: the first 32 bytes of the secret followed by SHA-256 of nothing.
func secretKey(secret string) []byte {
	if secret == "" {
		return nil
	}
	empty := sha256.Sum256(nil)
	return append([]byte(secret), empty[:]...)[:32]
}

// owners elects as MetalLB does: of the members, the least SHA-256 of node "#" address.
func owners(list *memberlist.Memberlist, vips []string) map[string]string {
	result := map[string]string{}
	for _, vip := range vips {
		names := []string{}
		for _, node := range list.Members() {
			names = append(names, node.Name)
		}
		sort.Slice(names, func(i, j int) bool {
			a := sha256.Sum256([]byte(names[i] + "#" + vip))
			b := sha256.Sum256([]byte(names[j] + "#" + vip))
			return bytes.Compare(a[:], b[:]) < 0
		})
		if len(names) > 0 {
			result[vip] = names[0]
		}
	}
	return result
}

func main() {
	var joins, vips stringList
	name := flag.String("name", "go", "node name")
	bind := flag.String("bind", "127.0.0.1", "address to bind")
	port := flag.Int("port", 7946, "port, UDP and TCP")
	key := flag.String("key", "", "gossip key, hexadecimal, 16, 24 or 32 bytes")
	secret := flag.String("metallb-secret", "", "text of MetalLB's secretkey, the key is derived from it")
	profile := flag.String("profile", "lan", "lan, wan or local")
	label := flag.String("label", "", "memberlist label")
	state := flag.String("state", "", "have a delegate, with this user state")
	quiet := flag.Bool("no-compression", false, "send nothing compressed")
	probe := flag.Duration("probe-interval", 0, "replaces the profile's")
	timeout := flag.Duration("probe-timeout", 0, "replaces the profile's")
	gossip := flag.Duration("gossip-interval", 0, "replaces the profile's")
	pushPull := flag.Duration("push-pull-interval", 0, "replaces the profile's")
	dead := flag.Duration("gossip-to-the-dead", 0, "replaces the profile's")
	flag.Var(&joins, "join", "HOST:PORT to join at start, repeatable")
	flag.Var(&vips, "vip", "address to elect an owner for at every change, repeatable")
	flag.Parse()

	config := memberlist.DefaultLANConfig()
	switch *profile {
	case "wan":
		config = memberlist.DefaultWANConfig()
	case "local":
		config = memberlist.DefaultLocalConfig()
	}
	config.Name, config.BindAddr, config.BindPort = *name, *bind, *port
	config.AdvertiseAddr, config.AdvertisePort = *bind, *port
	config.Label, config.LogOutput = *label, logLines{}
	config.EnableCompression = !*quiet
	for _, override := range []struct{ value, field *time.Duration }{
		{probe, &config.ProbeInterval}, {timeout, &config.ProbeTimeout},
		{gossip, &config.GossipInterval}, {pushPull, &config.PushPullInterval},
		{dead, &config.GossipToTheDeadTime},
	} {
		if *override.value != 0 {
			*override.field = *override.value
		}
	}
	if *key != "" {
		raw, err := hex.DecodeString(*key)
		if err != nil {
			emit("failed", map[string]any{"error": err.Error()})
			os.Exit(2)
		}
		config.SecretKey = raw
	}
	if *secret != "" {
		config.SecretKey = secretKey(*secret)
	}
	if *state != "" {
		config.Delegate = delegate{*state}
	}
	watcher := events{make(chan struct{}, 1)}
	config.Events = watcher

	list, err := memberlist.Create(config)
	if err != nil {
		emit("failed", map[string]any{"error": err.Error()})
		os.Exit(2)
	}
	emit("ready", map[string]any{"node": *name, "address": *bind, "port": *port})
	if len(vips) > 0 {
		go func() {
			for range watcher.changed {
				emit("owners", map[string]any{"owners": owners(list, vips)})
			}
		}()
	}
	join := func(target string) {
		if count, err := list.Join([]string{target}); err != nil {
			emit("join_failed", map[string]any{"target": target, "error": err.Error()})
		} else {
			emit("joined", map[string]any{"target": target, "count": count})
		}
	}
	for _, target := range joins {
		join(target)
	}
	serve(list, vips, join)
}

func find(list *memberlist.Memberlist, name string) *memberlist.Node {
	for _, node := range list.Members() {
		if node.Name == name {
			return node
		}
	}
	return nil
}

// repeat does something count times and tells how often it worked.
func repeat(event, count string, do func() error) {
	wanted, err := strconv.Atoi(count)
	if err != nil {
		emit("bad_count", map[string]any{"count": count})
		return
	}
	answered, failed := 0, 0
	for i := 0; i < wanted; i++ {
		if err := do(); err != nil {
			failed++
		} else {
			answered++
		}
	}
	emit(event, map[string]any{"answered": answered, "failed": failed})
}

func serve(list *memberlist.Memberlist, vips []string, join func(string)) {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.SplitN(strings.TrimSpace(input.Text()), " ", 3)
		switch words[0] {
		case "members":
			members := map[string]any{}
			for _, node := range list.Members() {
				members[node.Name] = node.Address()
			}
			emit("members", map[string]any{"members": members})
		case "owners":
			emit("owners", map[string]any{"owners": owners(list, vips)})
		case "health":
			emit("health", map[string]any{"health": list.GetHealthScore()})
		case "join":
			join(words[1])
		case "send", "reliable":
			node := find(list, words[1])
			if node == nil {
				emit("unknown_node", map[string]any{"node": words[1]})
				continue
			}
			send := list.SendBestEffort
			if words[0] == "reliable" {
				send = list.SendReliable
			}
			if err := send(node, []byte(words[2])); err != nil {
				emit("send_failed", map[string]any{"error": err.Error()})
			} else {
				emit("sent", map[string]any{"node": words[1]})
			}
		case "pings":
			node := find(list, words[1])
			if node == nil {
				emit("unknown_node", map[string]any{"node": words[1]})
				continue
			}
			address := &net.UDPAddr{IP: node.Addr, Port: int(node.Port)}
			repeat("pinged", words[2], func() error {
				_, err := list.Ping(node.Name, address)
				return err
			})
		case "pushpulls":
			repeat("exchanged", words[2], func() error {
				_, err := list.Join([]string{words[1]})
				return err
			})
		case "updates":
			repeat("updated", words[1], func() error {
				metaSerial.Add(1)
				return list.UpdateNode(5 * time.Second)
			})
		case "leave":
			if err := list.Leave(5 * time.Second); err != nil {
				emit("leave_failed", map[string]any{"error": err.Error()})
			} else {
				emit("leave_done", nil)
			}
		case "quit":
			_ = list.Shutdown()
			return
		case "":
		default:
			emit("unknown_command", map[string]any{"command": words[0]})
		}
	}
	_ = list.Shutdown()
}

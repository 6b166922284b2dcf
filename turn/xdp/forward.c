//go:build ignore

// This program turns ChannelData of one TURN client into ChannelData for another, where the network card hands packets
// over, before the kernel's network stack sees them. Everything else, and all that is unusual, goes on to the server.
//
//	Ethernet | IPv4, no options, or IPv6, no extensions | UDP to our port  | channel [2] length [2] | data, padding
//	MACs       addresses, TTL                             ports, checksum    channel                  unchanged
//
// All numbers in maps are in network byte order, except for indices, costs and times.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PACES 4
#define SECOND 1000000000ULL
#define HEADERS 52 // what a packet costs besides its payload: xdp.Headers

// Set before loading.
volatile const __be16 port = 0;      // the server's
volatile const __u8 unsummed = 0;    // packets come in with checksums that are not complete (veth): send none

// from is who sent ChannelData, and on which channel. IPv4 addresses are mapped into IPv6.
struct from {
	__be32 address[4];
	__be16 port;
	__be16 channel;
};

// route is where it goes, and as what.
struct route {
	__be32 server[4]; // where the sender reaches the server
	__be32 via[4];    // the server's address that the receiver knows
	__be32 to[4];
	__be16 to_port;
	__be16 channel;
	__u32 sender, receiver; // in clients
	__u32 paces[PACES];     // token buckets that the packet has to pass; 0: none
};

// client is the link address that a client's packets come from, and so where those for it go: like ARP, but learnt.
struct client {
	__u16 mac[3];
	__u16 known;
};

// pace is a token bucket, as in turn/tokenbucket.go. Two cores at once may count two packets as one, never more.
struct pace {
	__u64 due;  // when it is full again, in nanoseconds since the start of the machine
	__u64 cost; // of a byte, in nanoseconds / 65,536
};

struct total {
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct from);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct client);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pace);
} paces SEC(".maps");

// totals: [0] forwarded, [1] dropped beyond a limit.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct total);
} totals SEC(".maps");

static __always_inline void count(__u32 which, __u32 bytes)
{
	struct total *t = bpf_map_lookup_elem(&totals, &which);
	if (t) {
		t->packets++;
		t->bytes += bytes;
	}
}

// passes reports whether that many bytes may pass now, and counts them.
static __always_inline int passes(struct route *r, __u32 bytes)
{
	if (!r->paces[0])
		return 1;
	__u64 now = bpf_ktime_get_ns();
#pragma unroll
	for (int i = 0; i < PACES; i++) {
		__u32 at = r->paces[i];
		if (!at)
			return 1;
		struct pace *p = bpf_map_lookup_elem(&paces, &at);
		if (!p)
			return 0;
		__u64 due = p->due;
		if (due < now)
			due = now;
		due += bytes * p->cost >> 16;
		if (due - now > SECOND)
			return 0;
		p->due = due;
	}
	return 1;
}

// links sets the link addresses, and learns the sender's. It returns 0 if the receiver's is not known yet.
static __always_inline int links(struct ethhdr *eth, struct route *r)
{
	__u32 at = r->sender;
	struct client *from = bpf_map_lookup_elem(&clients, &at);
	at = r->receiver;
	struct client *to = bpf_map_lookup_elem(&clients, &at);
	if (!from || !to)
		return 0;
	__u16 *source = (void *)eth->h_source;
	if (!from->known || from->mac[0] != source[0] || from->mac[1] != source[1] || from->mac[2] != source[2]) {
		__builtin_memcpy(from->mac, source, ETH_ALEN);
		from->known = 1;
	}
	if (!to->known)
		return 0;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, to->mac, ETH_ALEN);
	return 1;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// swap returns how a ones' complement sum changes when one word becomes another (RFC 1624).
static __always_inline __u64 swap(__u32 was, __u32 is)
{
	return (__u64)(__u32)~was + is;
}

static __always_inline __u64 swap16(__u16 was, __u16 is)
{
	return (__u64)(__u16)~was + is;
}

// data reports whether the UDP payload is one whole ChannelData message, and nothing else except its optional padding.
static __always_inline int data(struct udphdr *udp, __be16 *head, __u32 length, void *end)
{
	__u32 least = bpf_ntohs(head[1]) + 12;
	return end - (void *)udp >= length && udp->dest == port && (head[0] & bpf_htons(0xc000)) == bpf_htons(0x4000) &&
	       bpf_ntohs(udp->len) == length && length >= least && length < least + 4;
}

// rewrite does what both families have in common. sum is the change that the new addresses make to the checksum.
static __always_inline void rewrite(struct udphdr *udp, __be16 *head, struct route *r, __u64 sum)
{
	sum += swap16(udp->source, port) + swap16(udp->dest, r->to_port) + swap16(head[0], r->channel);
	udp->source = port;
	udp->dest = r->to_port;
	head[0] = r->channel;
	if (unsummed)
		udp->check = 0;
	else if (udp->check) {
		__u16 check = ~fold(sum + (__u16)~udp->check);
		udp->check = check ? check : 0xffff;
	}
	count(0, bpf_ntohs(head[1]));
}

static __always_inline int forward4(struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__be16 *head = (void *)(udp + 1);
	if ((void *)(head + 2) > end || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	if (bpf_ntohs(ip->tot_len) < 32 || !data(udp, head, bpf_ntohs(ip->tot_len) - 20, end))
		return XDP_PASS;
	struct from from = {
		.address = { 0, 0, bpf_htonl(0xffff), ip->saddr }, .port = udp->source, .channel = head[0],
	};
	struct route *r = bpf_map_lookup_elem(&routes, &from);
	if (!r || r->server[3] != ip->daddr || r->server[2] != bpf_htonl(0xffff))
		return XDP_PASS;
	if (!links(eth, r))
		return XDP_PASS;
	if (!passes(r, bpf_ntohs(head[1]) + HEADERS)) {
		count(1, bpf_ntohs(head[1]));
		return XDP_DROP;
	}
	__u64 sum = swap(ip->saddr, r->via[3]) + swap(ip->daddr, r->to[3]);
	ip->saddr = r->via[3];
	ip->daddr = r->to[3];
	ip->ttl = 64;
	ip->check = 0;
	__u64 header = 0;
	__u16 *words = (void *)ip;
#pragma unroll
	for (int i = 0; i < 10; i++)
		header += words[i];
	ip->check = ~fold(header);
	rewrite(udp, head, r, sum);
	return XDP_TX;
}

static __always_inline int forward6(struct ethhdr *eth, void *end)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__be16 *head = (void *)(udp + 1);
	if ((void *)(head + 2) > end || ip->nexthdr != IPPROTO_UDP || unsummed || !udp->check)
		return XDP_PASS; // IPv6 wants a checksum
	if (!data(udp, head, bpf_ntohs(ip->payload_len), end))
		return XDP_PASS;
	struct from from = { .port = udp->source, .channel = head[0] };
	__builtin_memcpy(from.address, &ip->saddr, 16);
	struct route *r = bpf_map_lookup_elem(&routes, &from);
	if (!r)
		return XDP_PASS;
	__be32 *to = ip->daddr.in6_u.u6_addr32, *via = ip->saddr.in6_u.u6_addr32;
	if (to[0] != r->server[0] || to[1] != r->server[1] || to[2] != r->server[2] || to[3] != r->server[3])
		return XDP_PASS;
	if (!links(eth, r))
		return XDP_PASS;
	if (!passes(r, bpf_ntohs(head[1]) + HEADERS)) {
		count(1, bpf_ntohs(head[1]));
		return XDP_DROP;
	}
	__u64 sum = 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		sum += swap(via[i], r->via[i]) + swap(to[i], r->to[i]);
		via[i] = r->via[i];
		to[i] = r->to[i];
	}
	ip->hop_limit = 64;
	rewrite(udp, head, r, sum);
	return XDP_TX;
}

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return forward4(eth, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return forward6(eth, end);
	return XDP_PASS;
}

char terms[] SEC("license") = "Dual MIT/GPL";

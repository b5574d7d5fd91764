import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The job as a topology. Two hops: dedupe, then the DSL's groupByKey and windowed aggregate over a repartition topic,
 * as the manual has it. One hop: dedupe and count in one processor, rows kept per input partition, as our worker does.
 */
final class Job {
  static final String SEEN = "seen";
  static final String ROWS = "rows";
  private static final byte[] MARK = {1};

  final AtomicLong handled = new AtomicLong();
  final AtomicLong sent = new AtomicLong();
  final AtomicLong counted = new AtomicLong();

  Topology topology(String topic, int hops) {
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(SEEN), Serdes.ByteArray(), Serdes.ByteArray()));
    KStream<byte[], byte[]> records = builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()));
    if (hops == 1) {
      builder.addStateStore(
          Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(ROWS), Serdes.String(), Serdes.ByteArray())
              .withCachingEnabled());
      records.process(() -> new Dedupe(true), SEEN, ROWS);
    } else {
      records
          .process(() -> new Dedupe(false), SEEN)
          .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
          .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofHours(1)))
          .aggregate(Row::empty, (key, one, row) -> {
            counted.incrementAndGet();
            return Row.add(row, one);
          }, Materialized.<String, byte[], org.apache.kafka.streams.state.WindowStore<org.apache.kafka.common.utils.Bytes, byte[]>>as(ROWS)
              .withKeySerde(Serdes.String())
              .withValueSerde(Serdes.ByteArray())
              .withRetention(Duration.ofHours(2))
              .withCachingEnabled());
    }
    return builder.build();
  }

  private final class Dedupe implements Processor<byte[], byte[], String, byte[]> {
    private final boolean counts;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<byte[], byte[]> seen;
    private KeyValueStore<String, byte[]> rows;

    Dedupe(boolean counts) {
      this.counts = counts;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      seen = context.getStateStore(SEEN);
      rows = counts ? context.getStateStore(ROWS) : null;
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      byte[] packed = record.value();
      int from = 0;
      for (int at = 0; at <= packed.length; at++) {
        if (at == packed.length || packed[at] == '\n') {
          one(packed, from, at - from);
          from = at + 1;
        }
      }
    }

    private void one(byte[] packed, int from, int length) {
      Beacon beacon;
      try {
        beacon = Beacon.read(packed, from, length);
      } catch (java.io.IOException broken) {
        throw new java.io.UncheckedIOException(broken);
      }
      if (seen.putIfAbsent(beacon.identity(), MARK) == null && (beacon.isPlay() || beacon.isView())) {
        byte[] row = Row.of(beacon.isPlay() ? 1 : 0, beacon.isView() ? 1 : 0, beacon.bufferMs());
        String key = beacon.partner + '|' + beacon.entry;
        if (counts) {
          String window = key + '|' + beacon.time / 10_000 * 10;
          byte[] before = rows.get(window);
          rows.put(window, before == null ? row : Row.add(before, row));
        } else {
          sent.incrementAndGet();
          context.forward(new Record<>(key, row, beacon.time));
        }
      }
      long done = handled.incrementAndGet();
      if (done % 10_000 == 0) {
        System.out.println("beacons " + done);
      }
    }
  }
}

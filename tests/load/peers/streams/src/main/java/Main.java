import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Kafka Streams on the job: bootstrap, topic, application id, beacons to handle, hops, state folder, counts file.
 *
 * <p>Prints "beacons N" as it goes and "end N" when all is committed; then writes its counts and leaves.
 */
public final class Main {
  private static final int COMMIT_MS = 1000;

  private Main() { }

  public static void main(String[] args) throws Exception {
    int hops = Integer.parseInt(args[4]);
    long total = Long.parseLong(args[3]);
    Job job = new Job();
    KafkaStreams streams = new KafkaStreams(job.topology(args[1], hops), settings(args[0], args[2], args[5]));
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
      return null;
    });
    streams.start();
    while (job.handled.get() < total || job.counted.get() < job.sent.get()) {
      Thread.sleep(20);
    }
    Thread.sleep(COMMIT_MS + 500);
    System.out.println("end " + job.handled.get());
    write(counts(streams, hops), args[6]);
    Runtime.getRuntime().halt(0);
  }

  private static Properties settings(String bootstrap, String application, String stateFolder) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, stateFolder);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_MS);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.METRICS_RECORDING_LEVEL_CONFIG, "INFO");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MIN_BYTES_CONFIG), 1 << 16);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 18);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    return settings;
  }

  private static Map<String, byte[]> counts(KafkaStreams streams, int hops) {
    Map<String, byte[]> counts = new HashMap<>();
    if (hops == 1) {
      var store = streams.store(StoreQueryParameters.fromNameAndType(
          Job.ROWS, QueryableStoreTypes.<String, byte[]>keyValueStore()));
      try (KeyValueIterator<String, byte[]> all = store.all()) {
        all.forEachRemaining(row -> counts.merge(row.key, row.value, Row::add));
      }
    } else {
      var store = streams.store(StoreQueryParameters.fromNameAndType(
          Job.ROWS, QueryableStoreTypes.<String, byte[]>windowStore()));
      try (var all = store.all()) {
        all.forEachRemaining(row ->
            counts.merge(row.key.key() + "|" + row.key.window().start() / 1000, row.value, Row::add));
      }
    }
    return counts;
  }

  private static void write(Map<String, byte[]> counts, String path) throws Exception {
    try (PrintWriter out = new PrintWriter(path, "UTF-8")) {
      String separator = "{";
      for (var row : counts.entrySet()) {
        ByteBuffer value = ByteBuffer.wrap(row.getValue());
        out.printf("%s\"%s\": [%d, %d, %d]", separator, row.getKey(), value.getLong(), value.getLong(), value.getLong());
        separator = ",\n";
      }
      out.print("}");
    }
  }
}
